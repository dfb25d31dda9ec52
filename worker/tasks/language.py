"""Language modelling: a dataset of token sequences and a model that predicts each position's next token."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from worker.tasks.classification import Classification


class LanguageModelling(Classification):
    """Outputs are scores [batch, length, tokens], targets the next tokens [batch, length]; figures are per token."""

    __slots__ = ()

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), label_smoothing=label_smoothing)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Per example, hence per sequence, the mean over its tokens; `bits_per_char` is the loss in bits."""
        length = targets.shape[1]
        loss = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="sum") / length
        hits = (outputs.argmax(dim=-1) == targets).sum() / length
        return {"loss": loss, "accuracy": hits, "bits_per_char": loss / math.log(2)}
