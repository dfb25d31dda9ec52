"""The reference page of all presets, written from the registry: `make docs`."""

from __future__ import annotations

from schedules.presets import REGISTRY
from schedules.presets.model import Preset

HEAD = """# Schedule families

Written from the registry by `make docs`; change it there. Every family takes `lr`, its peak. In a study's space each
parameter may be a fixed value, `{choice: [...]}`, `{low, high}` or `{low, high, log: true}`; spans are `"5%"`,
`"500 steps"` or `"5 epochs"`. `step` (`t`) counts updates from 0, `T` is their number, `z = t / T`.
`reduce_on_plateau` and `greedy` start at `lr` and answer to the validation loss, which a study tells them at each
epoch's end: nobody can draw them before training.
`switchback schedules NAME` draws a family.
"""


def markdown() -> str:
    """The page as Markdown."""
    index = "\n".join(
        f"| [`{one.name}`](#{one.name}) | {_cell(one.summary)} | {_cell(one.formula)} |" for one in REGISTRY.values()
    )
    table = f"| family | what it is | learning rate |\n|---|---|---|\n{index}\n"
    return "\n".join([HEAD, table, *map(_section, REGISTRY.values())])


def _section(preset: Preset) -> str:
    rows = "\n".join(
        f"| `{one.name}` | {_cell(one.description)} | {_cell(one.rule)} | `{one.default}` | {_search(one.search)} |"
        for one in preset.parameters
    )
    head = f"## {preset.name}\n\n{preset.summary}  \n`{preset.formula}`  \nSource: {preset.source}\n"
    table = f"\n| parameter | meaning | rule | default | searched |\n|---|---|---|---|---|\n{rows}\n" if rows else ""
    return head + table


def _search(domain: object) -> str:
    return "" if domain is None else f"`{domain}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    print(markdown(), end="")
