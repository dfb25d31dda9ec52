"""Per-group factors: how much smaller the rate is for layers nearer the input."""

from __future__ import annotations

from schedules.rules import Number


def layer_decay(num_layers: int, decay: float) -> tuple[float, ...]:
    """decay^(n + 1 - i) for i = 0 (embeddings), 1 .. n (blocks), n + 1 (head), n = `num_layers`.

    Clark et al. 2003.10555, BEiT 2106.08254 (0.65 to 0.75 there), MAE.

    >>> layer_decay(2, 0.5)
    (0.125, 0.25, 0.5, 1.0)
    """
    Number(low=1, integer=True).check("num_layers", num_layers)
    return discriminative(num_layers + 2, decay)


def discriminative(groups: int, decay: float) -> tuple[float, ...]:
    """decay^(n - 1 - i) for the n groups, first to last: every group `decay` times the one above it.

    ULMFiT (1801.06146) has decay = 1 / 2.6.

    >>> discriminative(3, 0.5)
    (0.25, 0.5, 1.0)
    """
    Number(low=1, integer=True).check("groups", groups)
    Number(above=0, high=1).check("decay", decay)
    return tuple(float(decay) ** (groups - 1 - i) for i in range(groups))
