"""The study files a reader starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
from yaml import safe_load

from contract.studies import CreateStudy
from service.search import strategy_for

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_study_the_service_takes(path: Path) -> None:
    strategy = strategy_for(CreateStudy.model_validate(safe_load(path.read_text())))
    assert strategy.propose([], 0, 3)[-1].number == 2


def test_every_search_method_has_an_example() -> None:
    assert {safe_load(path.read_text())["search"]["method"] for path in EXAMPLES} == {"grid", "tpe", "range_test"}
