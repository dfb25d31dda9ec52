"""Ray Tune driving an ordinary loop: one actor per core, reused from trial to trial."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}

import ray
from ray import tune

from benchmarks.peers.recipe import Recipe, prepare, train


class Plain(tune.Trainable):
    """One trial is one step of the trainable; ready for the next one at once (`reset_config`)."""

    def setup(self, config: dict[str, Any]) -> None:  # Any: Ray's own configuration type
        prepare()
        self._trial = config["trial"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._trial = new_config["trial"]
        return True

    def step(self) -> dict[str, object]:
        begun = time.time()
        loss = train(self._trial["recipe"])
        return {"val_loss": loss, "number": self._trial["number"], "begun": begun, "ended": time.time(), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a trial is one step."""


class Nothing(tune.Trainable):
    """One trial is done as soon as it has begun."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, object]:
        return {"val_loss": 0.5, "ended": time.time(), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""


class RayTune:
    """A local Ray, up before the first study."""

    def __init__(self, processes: int) -> None:
        self._count = processes
        ray.init(
            num_cpus=processes,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
        )

    def run(self, recipes: Sequence[Recipe]) -> tuple[float, dict[int, float]]:
        """Seconds from the first trial's start (Ray's own start is not counted) to the last result, and the losses."""
        found = self._fit(Plain, [{"number": number, "recipe": one} for number, one in enumerate(recipes)])
        seconds = max(row["ended"] for row in found) - min(row["begun"] for row in found)
        return seconds, {row["number"]: row["val_loss"] for row in found}

    def nothing(self, trials: int) -> float:
        """Seconds from one trial's end to the next one's, when trials take no time; actors are reused."""
        ended = sorted(row["ended"] for row in self._fit(Nothing, list(range(trials))))
        return float(ended[-1] - ended[0]) / (trials - 1)

    def _fit(self, trainable: type[tune.Trainable], trials: Sequence[object]) -> list[dict[str, Any]]:
        """What each trial reported last."""
        with tempfile.TemporaryDirectory() as folder:
            results = tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1}),
                param_space={"trial": tune.grid_search(list(trials))},
                tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=self._count),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
        rows = [result.metrics for result in results]
        if any(row is None or "val_loss" not in row for row in rows):
            raise RuntimeError(f"Ray Tune: {results.errors[:1]}")
        return [row for row in rows if row is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ray.shutdown()
