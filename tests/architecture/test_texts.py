"""A text that a message takes in has a pattern, or is one of a few: none can hold a NUL, which PostgreSQL refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from contract.base import Message
from service.app import ENDPOINTS  # whose routes name every message

assert ENDPOINTS


def kinds(message: type[Message] = Message) -> Iterator[type[Message]]:
    """Those of the wire: what a worker tells its own heartbeat process is no request."""
    for kind in message.__subclasses__():
        if kind.__module__.startswith("contract."):
            yield kind
            yield from kinds(kind)


def unbound(schema: Any, place: str = "") -> Iterator[str]:
    """Places of a JSON schema where any text at all may stand."""
    if isinstance(schema, list):
        for item in schema:
            yield from unbound(item, place)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "string" and not {"pattern", "enum", "const", "format"} & schema.keys():
        yield place
    for name, part in schema.items():
        if name not in {"examples", "default", "discriminator"}:
            yield from unbound(part, f"{place}.{name}")


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_a_message_takes_no_text_without_a_pattern(kind: type[Message]) -> None:
    assert list(unbound(kind.model_json_schema())) == []


def test_a_text_without_a_pattern_is_found() -> None:
    class Loose(Message):
        words: list[str]

    assert list(unbound(Loose.model_json_schema())) == [".properties.words.items"]
