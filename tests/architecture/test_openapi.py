"""The public API changes only on purpose: `make openapi` writes the snapshot anew."""

from __future__ import annotations

import json
from pathlib import Path

from service.app import create_app
from service.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")


def current(folder: Path) -> str:
    app = create_app(Settings(database=f"sqlite:///{folder}/openapi.db"))
    schema = app.openapi() | {"info": {"title": app.title}}
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def test_the_api_is_the_one_in_the_snapshot(tmp_path: Path) -> None:
    assert current(tmp_path) == SNAPSHOT.read_text(), (
        "run `make openapi` if the change is meant, and note it in CHANGELOG"
    )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        SNAPSHOT.write_text(current(Path(scratch)))
