"""What is done to sound before a recognizer hears it: filters, a lower rate, fewer levels.

Gradients go through all of them; rounding has that of the identity (BPDA, Athalye et al., ICML 2018).
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn.functional import pad

from raygrid.channels.catalog_audio import Resample
from raygrid.channels.device import butterworth, resampled
from raygrid.defenses.bpda import as_if_identity
from raygrid.defenses.catalog_sound import BandFilter, LowerRate, MedianFilter, Quantized
from raygrid.defenses.defended import Defended
from raygrid.errors import UsageError
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim


class Heard(Defended):
    """A recognizer that hears waveforms [B, T] changed.

    Raises:
        UsageError: the victim hears nothing.
    """

    def __init__(
        self, victim: Victim, change: Callable[[Tensor], Tensor], soft: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__(victim)
        if not victim.info.sample_rate:
            raise UsageError(f'victim "{victim.info.id}" hears nothing: this defense is for sound')
        self.change, self.softly = change, soft or change

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return what the victim hears of x [B, T]."""
        return self.change(x)

    def softly_before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the same, with a gradient."""
        return self.softly(x)


def filtered(x: Tensor, params: BandFilter) -> Tensor:
    """Return x [B, T] without what lies outside of the band, or inside, cut to [-1, 1]."""
    y = butterworth(x, params.low, params.high, params.order)
    return (x - y if params.stops else y).clamp(-1, 1)


def rounded(x: Tensor, bits: int) -> Tensor:
    """Return x [B, T] rounded to multiples of 2 / 2^bits."""
    levels = 1 << (bits - 1)
    whole: Tensor = (x * levels).round().clamp(-levels, levels - 1)
    return whole / levels


def median(x: Tensor, size: int) -> Tensor:
    """Return x [B, T], each value the median of a window around it; at the ends, of as much of the window as repeats the edge."""
    reach = size // 2
    windows = pad(x[:, None], (reach, reach), mode="replicate")[:, 0].unfold(1, size, 1)
    middle: Tensor = windows.median(2).values
    return middle


def band_filter(params: BandFilter, victim: Victim) -> Heard:
    """Let a band pass, or stop one."""
    return Heard(victim, partial(filtered, params=params))


def lower_rate(params: LowerRate, victim: Victim) -> Heard:
    """Bring sound to a lower rate and back."""
    detour = Resample(rate=params.rate)
    return Heard(victim, lambda x: resampled(detour, x, len(x)))


def quantized(params: Quantized, victim: Victim) -> Heard:
    """Round sound to a few bits."""
    change = partial(rounded, bits=params.bits)
    return Heard(victim, change, lambda x: as_if_identity(x, change(x.detach())))


def median_filter(params: MedianFilter, victim: Victim) -> Heard:
    """Filter sound by its median."""
    return Heard(victim, partial(median, size=params.size))
