"""SwitchbackLR inside Lightning and Transformers' Trainer, where installed: each update's rate, and a resume."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from schedules.presets import REGISTRY
from schedules.torch import SwitchbackLR

# What these libraries deprecate inside themselves is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

SCHEDULE = REGISTRY["onecycle"].build(lr=0.1)
UPDATES = 20


def lightning_module(total_steps: int, rates: list[float], momenta: list[float]) -> Any:
    lightning = pytest.importorskip("lightning")

    class Regression(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            group = self.optimizers().param_groups[0]
            rates.append(group["lr"])
            momenta.append(group["momentum"])
            return self.layer(batch[0]).square().mean()

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.9)
            scheduler = SwitchbackLR(optimizer, SCHEDULE, total_steps=total_steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return Regression()


def fit(module: Any, folder: Path, *, epochs: int, resume: str | None = None) -> Any:
    lightning = pytest.importorskip("lightning")
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.randn(20, 2)), batch_size=4), ckpt_path=resume)
    return trainer


def test_lightning_runs_every_update_at_the_rate_and_momentum_of_its_step(tmp_path: Path) -> None:
    rates: list[float] = []
    momenta: list[float] = []
    fit(lightning_module(UPDATES, rates, momenta), tmp_path, epochs=4)
    bound = SCHEDULE.bind(UPDATES)
    np.testing.assert_array_equal(rates, bound.lr(np.arange(UPDATES)))
    np.testing.assert_array_equal(momenta, bound.momentum(np.arange(UPDATES)))  # type: ignore[arg-type]


def test_lightning_resumes_from_its_checkpoint_on_a_longer_horizon(tmp_path: Path) -> None:
    first: list[float] = []
    second: list[float] = []
    trainer = fit(lightning_module(10, first, []), tmp_path, epochs=2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    fit(lightning_module(UPDATES, second, []), tmp_path, epochs=4, resume=str(tmp_path / "half.ckpt"))
    np.testing.assert_array_equal(second, SCHEDULE.bind(UPDATES).lr(np.arange(10, UPDATES)))


class Rows(Dataset[dict[str, torch.Tensor]]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.full((2,), index / 20)}


class Regression(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.layer(x).square().mean()}


def transformers_trainer(folder: Path, total_steps: int, epochs: int, rates: list[float]) -> Any:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Watch(transformers.TrainerCallback):  # type: ignore[misc,name-defined]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            rates.append(kwargs["optimizer"].param_groups[0]["lr"])

    model = Regression()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    scheduler = SwitchbackLR(optimizer, SCHEDULE, total_steps=total_steps)
    options = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "epoch", "logging_steps": 5}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=4, **options
    )
    return transformers.Trainer(
        model=model, args=arguments, train_dataset=Rows(), optimizers=(optimizer, scheduler), callbacks=[Watch()]
    )


def test_transformers_runs_every_update_at_the_rate_of_its_step(tmp_path: Path) -> None:
    rates: list[float] = []
    transformers_trainer(tmp_path, UPDATES, 4, rates).train()
    np.testing.assert_array_equal(rates, SCHEDULE.bind(UPDATES).lr(np.arange(UPDATES)))


def test_transformers_resumes_from_its_checkpoint_on_a_longer_horizon(tmp_path: Path) -> None:
    rates: list[float] = []
    transformers_trainer(tmp_path, 10, 2, []).train()
    resumed = transformers_trainer(tmp_path, UPDATES, 4, rates)
    resumed.train(resume_from_checkpoint=os.fspath(tmp_path / "checkpoint-10"))
    np.testing.assert_array_equal(rates, SCHEDULE.bind(UPDATES).lr(np.arange(10, UPDATES)))
