"""The built-in architectures `vit_small` and `gpt_small`: small transformers with an explicit softmax attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from worker.tasks.classification import Model, Refusal, Signature, reads_images

WIDTH, DEPTH, HEADS = 64, 4, 4
MOST_PATCHES = 64


class Attention(nn.Module):
    """Multi-head softmax(Q K^T / sqrt(d)) V, written out: at these sizes faster on a CPU than the fused kernel, and
    `torch.func.vmap` has rules for all of it.
    """

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        query, key, value = (
            part.reshape(batch, length, HEADS, width // HEADS).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // HEADS)
        if self.causal:
            later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        mixed = scores.softmax(dim=-1) @ value
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each normalised before and added to what came in."""

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(causal=causal)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class VisionTransformer(nn.Module):
    """Images [batch, channels, height, width] to scores [batch, classes], over the mean of the patches."""

    def __init__(self, signature: Signature, patch: int) -> None:
        super().__init__()
        channels, height, width = signature.shape
        self.embedding = nn.Conv2d(channels, WIDTH, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn((height // patch) * (width // patch), WIDTH))
        self.blocks = nn.Sequential(*(Block(causal=False) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, signature.classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embedding(images).flatten(2).transpose(1, 2) + self.position
        scores: Tensor = self.head(self.norm(self.blocks(tokens)).mean(dim=1))
        return scores


class Decoder(nn.Module):
    """Tokens [batch, length] to scores [batch, length, tokens]; a position sees itself and those before it."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.embedding = nn.Embedding(signature.classes, WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.position = nn.Parameter(0.02 * torch.randn(signature.shape[0], WIDTH))
        self.blocks = nn.Sequential(*(Block(causal=True) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, signature.classes)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.blocks(self.embedding(tokens) + self.position)))
        return scores


def patch_side(shape: tuple[int, ...]) -> int | None:
    """The smallest side, from 2 on, that divides height and width and gives at most 64 patches: 2 for 8 x 8 images, 4
    for 28 and 32; None when no side gives more than one patch.
    """
    _, height, width = shape
    sides = range(2, min(height, width) // 2 + 1)
    fitting = (side for side in sides if height % side == 0 == width % side)
    return next((side for side in fitting if height * width // side**2 <= MOST_PATCHES), None)


def _no_patches(signature: Signature) -> Refusal:
    if (refusal := reads_images(signature)) is not None:
        return refusal
    if len(signature.shape) != 3 or patch_side(signature.shape) is None:
        return f"reads images that divide into at most {MOST_PATCHES} equal squares, got {signature}"
    return None


def vit_small(signature: Signature) -> nn.Module:
    """Four blocks of width 64 with four heads; about 0.2 million parameters."""
    patch = patch_side(signature.shape)
    assert patch is not None, signature  # the registry asked `misfit`
    return VisionTransformer(signature, patch)


VIT_SMALL = Model("vit_small", vit_small, _no_patches)
GPT_SMALL = Model(
    "gpt_small", Decoder, lambda signature: None if signature.kind == "tokens" else f"reads tokens, got {signature}"
)
