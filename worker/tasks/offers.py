"""Which datasets go with which models here and now, and why the others do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product

from worker.tasks.classification import Classification, Dataset, Model
from worker.tasks.language import LanguageModelling


@dataclass(frozen=True, slots=True)
class Refused:
    """Models that a dataset cannot be trained with; no models: the dataset itself is not to be had."""

    dataset: str
    models: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        if not self.models:
            return f"{self.dataset}: {self.reason}"
        return f"{self.dataset} with {shortened(self.models)}: {self.reason}"


def pair(dataset: Dataset, model: Model) -> Classification:
    """The two as a task; raises TaskError when the model cannot read the dataset."""
    if dataset.signature.kind == "tokens":
        return LanguageModelling(dataset, model)
    return Classification(dataset, model)


def offered(datasets: Iterable[Dataset], models: Iterable[Model]) -> Iterator[Classification]:
    """Every pair that fits, of the datasets that are here; nothing is loaded."""
    present = [dataset for dataset in datasets if dataset.missing() is None]
    for dataset, model in product(present, list(models)):
        if model.misfit(dataset.signature) is None:
            yield pair(dataset, model)


def refused(datasets: Iterable[Dataset], models: Iterable[Model]) -> Iterator[Refused]:
    """The rest, with the reasons; models refused for the same reason are told together."""
    models = list(models)
    for dataset in datasets:
        if (reason := dataset.missing()) is not None:
            yield Refused(dataset.name, (), reason)
            continue
        together: dict[str, list[str]] = defaultdict(list)
        for model in models:
            if (reason := model.misfit(dataset.signature)) is not None:
                together[reason].append(model.name)
        for reason, names in together.items():
            yield Refused(dataset.name, tuple(names), reason)


def shortened(names: Iterable[str]) -> str:
    """Names in order, those of one family (`torchvision.`) counted when they are more than four."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        families[name.partition(".")[0]].append(name)
    return ", ".join(
        f"{family}.* ({len(members)})" if len(members) > 4 else ", ".join(members)
        for family, members in families.items()
    )


def lines(keys: Iterable[str]) -> list[str]:
    """Task keys as `dataset: models`, shortened, a line per dataset."""
    parted = sorted(key.split("/") for key in keys)
    return [
        f"{dataset}: {shortened(model for _, model in pairs)}"
        for dataset, pairs in groupby(parted, key=lambda parts: parts[0])
    ]
