"""What an attack has found so far: for each sample the first point that succeeded, else the one of lowest loss."""

import torch
from torch import Tensor


class Best:
    """The example to return for each of N samples, starting from the clean inputs x [N, ...]."""

    def __init__(self, x: Tensor) -> None:
        self.x = x.clone()
        self.loss = torch.full((len(x),), float("inf"), device=x.device)
        self.success = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def keep_successes(self, index: Tensor, z: Tensor, loss: Tensor, success: Tensor) -> None:
        """Take the points z [B, ...] that succeeded, for samples at the positions `index` [B]."""
        met = success.nonzero()[:, 0]
        where = index[met]
        self.x[where], self.loss[where] = z[met], loss[met]
        self.success.index_fill_(0, where, True)

    def keep_better(self, index: Tensor, z: Tensor, loss: Tensor, success: Tensor) -> Tensor:
        """Take the points that succeed where none did, or come closer at equal standing. Returns [B] bool: which were taken."""
        stood, fell = self.success[index], success
        better = (fell & ~stood) | ((fell == stood) & (loss < self.loss[index]))
        taken = better.nonzero()[:, 0]  # once: a GPU is waited for each time that a mask chooses rows
        where = index[taken]
        self.x[where], self.loss[where], self.success[where] = z[taken], loss[taken], success[taken]
        return better
