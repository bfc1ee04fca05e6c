"""The torch side of a victim that only answers queries: pixels leave as an array, scores come back; no gradient."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

Ask = Callable[[np.ndarray], object]
"""float32 array [B, C, H, W] in [0, 1] -> scores [B, classes] or labels [B], as an array or nested lists."""


class QueryModel(nn.Module):
    """Asks a black box for scores or labels; labels become one-hot scores."""

    def __init__(self, ask: Ask, returns: Literal["scores", "labels"], classes: int) -> None:
        super().__init__()
        self.ask = ask
        self.returns = returns
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores [B, classes] of pixels [B, C, H, W], on their device.

        Raises:
            ValueError: the answer has the wrong shape, or labels that are no classes.
            Exception: whatever the black box raises.
        """
        answer = np.asarray(self.ask(x.detach().to("cpu", torch.float32).numpy()))
        scores = self._scores(answer, len(x)) if self.returns == "scores" else self._one_hot(answer, len(x))
        return scores.to(x.device)

    def _scores(self, answer: np.ndarray, batch: int) -> Tensor:
        if answer.shape != (batch, self.classes):
            raise ValueError(f"scores have the shape {list(answer.shape)}, not [{batch}, {self.classes}]")
        return torch.from_numpy(answer.astype(np.float32))

    def _one_hot(self, answer: np.ndarray, batch: int) -> Tensor:
        if answer.shape != (batch,) or not np.issubdtype(answer.dtype, np.integer):
            raise ValueError(f"labels are {answer.dtype} of the shape {list(answer.shape)}, not integers [{batch}]")
        if answer.min() < 0 or answer.max() >= self.classes:
            raise ValueError(f"labels are in {answer.min()}..{answer.max()}, not in 0..{self.classes - 1}")
        return one_hot(torch.from_numpy(answer.astype(np.int64)), self.classes).float()


def query_victim(ask: Ask, returns: Literal["scores", "labels"], info: VictimInfo) -> Victim:
    """Wrap a black box as a victim."""
    return Victim(QueryModel(ask, returns, info.classes), info)
