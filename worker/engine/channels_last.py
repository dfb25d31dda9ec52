"""In which order the pixels of images lie in memory where convolutions read them: the channels of a pixel side by side.

That is torch's `channels_last`. Shapes, parameters and checkpoints know nothing of it: a convolution hands the order of
its images on to what follows, and lays its weights out by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from worker.engine import dropout

logger = logging.getLogger(__name__)

SIDE = 8
"""Images lower or narrower than this stay as they are; see docs/engine.md for what was measured."""

DEVICES = {"cpu", "cuda"}

EXAMPLES = 2
"""The fewest over which batch normalisation in training has a variance."""


def laid(images: Tensor) -> Tensor:
    """The same images [B, C, H, W], in the order in which a convolution is to read them.

    It follows from their shape without C, which in lanes is K*C: how a lane is rounded must not depend on K.
    """
    if images.dim() != 4 or min(images.shape[2:]) < SIDE or images.device.type not in DEVICES:
        return images
    if images.shape[1] > 1:
        return images.contiguous(memory_format=torch.channels_last)
    # One channel lies the same either way, and only its strides tell torch which of them is meant.
    return images.flatten(1).view(len(images), *images.shape[2:], 1).permute(0, 3, 1, 2)


def install(model: nn.Module, make: Callable[[], nn.Module], inputs: Tensor) -> None:
    """Have every convolution of a plain model read images `laid`, if such models can be run on inputs like these then.

    A forward of one's own may not: `view` refuses what `reshape` takes. Nor is it done where outputs would come in
    another order, for a loss of one's own may use `view`, too. A compiled model is the compiler's to lay out.
    """
    one, compiled = inputs[:1], hasattr(model, "_orig_mod")
    if laid(one) is not one and not compiled and _runs(make, inputs.shape[1:], inputs.dtype, inputs.device):
        _hook(model)


def _hook(model: nn.Module) -> bool:
    """Whether there was anything to do."""
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    for module in found:
        module.register_forward_pre_hook(_before)
    return bool(found)


def _before(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(laid(value) for value in args)


@lru_cache(maxsize=32)
@torch.no_grad()
def _runs(make: Callable[[], nn.Module], shape: torch.Size, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a model of this making can be run so, in training and in evaluation; asked once for all trials."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            model = make().to(device, dtype if dtype.is_floating_point else None)
            dropout.draw(dropout.install(model), dropout.NO_DRAWS)
            images = torch.zeros(EXAMPLES, *shape, dtype=dtype, device=device)
            return _hook(model) and all(bool(model.train(mode)(images).is_contiguous()) for mode in (True, False))
        except Exception:  # whatever the user's code trips over; if it does so without this too, training will tell
            logger.info("a model keeps the order of pixels that its images come in", exc_info=True)
            return False
