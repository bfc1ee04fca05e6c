"""A victim that hears: waveforms in, at the rate it was made for, and what it makes of them out."""

from torch import Tensor, nn

from raygrid.errors import UsageError
from raygrid.randomness import Draws
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim


class Listener(Victim):
    """Waveforms [B, T] in [-1, 1], at `info.sample_rate`, to what its task asks for: scores of classes [B, classes], or embeddings
    [B, D]."""

    def __init__(self, model: nn.Module, info: VictimInfo, shortest: int) -> None:
        super().__init__(model, info)
        self.shortest = shortest
        """Samples that a clip needs at least."""

    def inside(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the waveforms as they are, once they are known to be such.

        Raises:
            UsageError: other axes, or clips too short.
        """
        if x.ndim != 2 or x.shape[1] < self.shortest:
            raise UsageError(
                f'victim "{self.info.id}" takes waveforms [B, T] of at least {self.shortest} samples '
                f"({1000 * self.shortest / self.info.sample_rate:.0f} ms), not {list(x.shape)}"
            )
        return x
