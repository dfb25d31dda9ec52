"""Pages written from the code are what the code would write now."""

from __future__ import annotations

from pathlib import Path

from schedules.presets.reference import markdown
from service import lifecycle

ROOT = Path(__file__).parents[2]


def test_the_page_of_schedule_families_is_what_the_registry_says() -> None:
    assert (ROOT / "docs" / "schedules.md").read_text() == markdown(), "run `make docs`"


def test_the_page_of_states_is_drawn_from_the_table_of_transitions() -> None:
    assert (ROOT / "docs" / "states.md").read_text() == lifecycle.markdown(), "run `make docs`"


def test_every_file_the_architecture_page_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = {part.split(":")[0] for part in page.split("`") if "/" in part and part.split(":")[0].endswith(".py")}
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert named
    assert missing == []
