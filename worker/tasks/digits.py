"""The dataset `digits`: scikit-learn's 1,797 real handwritten digits, 8 x 8 grey values, on every machine offline."""

from __future__ import annotations

import numpy as np
import torch

from worker.tasks.classification import Dataset, Signature
from worker.tasks.task import Data, Split

SPLIT_SEED = 20_240_607
"""Fixed, and apart from every trial's seed: all trials of all studies see the same three parts."""


def load() -> Data:
    """60 % train, 20 % validation, 20 % test, stratified by class; pixels scaled from 0..16 to 0..1."""
    # Imported here: it takes longer than all the rest of a worker, and other datasets do without it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    rows = np.arange(len(labels))
    train, rest = train_test_split(rows, test_size=0.4, stratify=labels, random_state=SPLIT_SEED)
    validation, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=SPLIT_SEED)
    inputs = torch.tensor(images / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
    targets = torch.tensor(labels, dtype=torch.int64)
    parts = (Split(inputs[part], targets[part]) for part in (train, validation, test))
    return Data(*parts)


DIGITS = Dataset("digits", Signature(shape=(1, 8, 8), classes=10), load)
