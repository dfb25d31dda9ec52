"""Dropout whose masks are a pure function of seed, step and layer, so that every engine draws the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WORD = 2**64 - 1


class Draws:
    """The masks of one update. `places` has the mask seed and the step of each lane, or the one of all lanes."""

    def __init__(self, places: Sequence[tuple[int, int]], after: int = 0) -> None:
        """`after`: updates made since the steps in `places`."""
        self._places = [places[0]] if len(set(places)) == 1 else places
        self._after = after
        self._calls: dict[int, int] = {}

    @property
    def drawn(self) -> bool:
        """Whether anything was."""
        return bool(self._calls)

    def mask(self, number: int, p: float, like: Tensor) -> Tensor:
        """Of layer `number`, what to multiply with: 0 with probability p, else 1 / (1 - p); [lanes or 1, *like.shape].

        A layer that is used again in the same update draws others.
        """
        call = self._calls.get(number, 0)
        self._calls[number] = call + 1
        found = torch.empty(len(self._places), *like.shape, dtype=like.dtype, device=like.device)
        for lane, (seed, step) in zip(found.unbind(), self._places, strict=True):
            # A generator of its own: where it starts says what it gives.
            generator = torch.Generator(like.device)
            generator.manual_seed(mixed(seed, step + self._after, number, call))
            lane.bernoulli_(1 - p, generator=generator)
        return found.div_(1 - p) if p < 1 else found


NO_DRAWS = Draws([(0, 0)])
"""For evaluation, which drops nothing."""


class Dropout(nn.Module):
    """Takes the place of `nn.Dropout`; `draws` is set before every update."""

    def __init__(self, number: int, p: float) -> None:
        super().__init__()
        self.number, self.p = number, p
        self.draws: Draws | None = None
        self.lane: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return values
        if self.draws is None:
            raise RuntimeError("dropout: need draws that say which update this is")
        masks = self.draws.mask(self.number, self.p, values)
        if len(masks) == 1 or self.lane is None:
            return values * masks[0]
        # Under vmap `lane` is the number of each lane, and looking it up makes the masks each lane's own.
        return values * masks.index_select(0, self.lane.unsqueeze(0)).squeeze(0)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def install(model: nn.Module) -> list[Dropout]:
    """Put ours in the place of every `nn.Dropout`, numbered in the order of `modules()`; those that were put there.

    A subclass may compute anything and is left alone, as is a model that is nothing but one dropout.
    """
    made: dict[nn.Module, Dropout] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if name and type(module) is nn.Dropout:
            made.setdefault(module, Dropout(len(made), module.p).train(module.training))
            model.set_submodule(name, made[module])
    return list(made.values())


def draw(layers: Sequence[Dropout], draws: Draws, lane: Tensor | None = None) -> None:
    """Before an update: what the layers draw. `lane`: under vmap, the number of each lane."""
    for layer in layers:
        layer.draws, layer.lane = draws, lane


def mixed(seed: int, step: int, number: int, call: int) -> int:
    """A 63-bit seed of nobody else's: the finalizer of SplitMix64 over a sum of odd multiples."""
    word = seed + step * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + call * 0x8CB92BA72F3D8DD7
    word = ((word ^ (word & WORD) >> 30) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ word >> 27) * 0x94D049BB133111EB) & WORD
    return (word ^ word >> 31) >> 1
