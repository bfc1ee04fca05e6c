"""Which sounds another one hides: the masking threshold of a clip, and how far something that is added to it lies above.

MPEG-1's psychoacoustic model 1 (ISO/IEC 11172-3, 1993) as Lin & Abdulla (2015) and Qin et al. (ICML 2019) use it: every local peak
of a frame's spectrum is taken for a tone, each tone hides what lies near it on the Bark scale, and nothing is heard below the
threshold in quiet. The clip's loudest value is taken to be played at 96 dB SPL.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

FRAME, HOP = 2048, 512
"""Values of a frame of the spectrum, and between the beginnings of two: 128 and 32 ms at 16 kHz."""
LOUDEST = 96.0
"""dB SPL of the largest value of a clip's spectra."""
QUIETER = 12.0
"""dB that the threshold in quiet is lowered by, as the standard does for its higher bit rates, and Qin et al. do."""
CLOSE = 0.5
"""Bark within which a tone hides all weaker ones as maskers."""
TINY = 1e-30
"""Stands in for a power of 0 in a logarithm."""


@dataclass(frozen=True)
class Mask:
    """The masking thresholds of B clips of one length."""

    power: Tensor
    """[B, frames, frequencies], in the units of `spectra`; 0 of a silent clip, which hides nothing."""

    def above(self, delta: Tensor) -> Tensor:
        """Return how many dB [B, frames, frequencies] the spectra of what is added, delta [B, T], lie above; 0 where below.

        Differentiable in delta.
        """
        return 10 * torch.log10((spectra(delta) / self.power.clamp_min(TINY)).clamp_min(1))

    def at(self, index: Tensor) -> "Mask":
        """Return those of some clips."""
        return Mask(self.power[index])


def spectra(x: Tensor) -> Tensor:
    """Return the power spectra [B, frames, FRAME // 2 + 1] of waveforms x [B, T], through Hann windows.

    A tone of amplitude a in the middle of a frequency has (a / 2)^2 · 2 / 3 there. Zeros are put before and after, so that every
    value is in as many frames.
    """
    window = torch.hann_window(FRAME, dtype=x.dtype, device=x.device) * (8 / 3) ** 0.5 / FRAME
    length = x.shape[1]
    after = FRAME - HOP + (-length) % HOP
    frames = pad(x, (FRAME - HOP, after)).unfold(1, FRAME, HOP)
    bins = torch.fft.rfft(frames * window)
    power: Tensor = bins.real.square() + bins.imag.square()
    return power


def masking(x: Tensor, rate: int) -> Mask:
    """Return the masking thresholds of waveforms x [B, T], each on its own.

    Args:
        x: clips.
        rate: samples a second.
    """
    power = spectra(x.detach().double().cpu())
    hertz = torch.fft.rfftfreq(FRAME, 1 / rate, dtype=torch.float64)
    most = power.flatten(1).amax(1)
    thresholds = torch.zeros_like(power)
    for clip in most.nonzero()[:, 0].tolist():
        level = LOUDEST + 10 * torch.log10((power[clip] / most[clip]).clamp_min(TINY))
        for frame, heard in enumerate(level):
            thresholds[clip, frame] = 10 ** ((threshold(heard, hertz) - LOUDEST) / 10) * most[clip]
    return Mask(thresholds.to(x))


def threshold(level: Tensor, hertz: Tensor) -> Tensor:
    """Return the masking threshold [F] of one frame in dB SPL.

    Args:
        level: of the frame at each frequency [F], in dB SPL.
        hertz: the frequencies, from 0 on, evenly.
    """
    quiet, place = in_quiet(hertz), bark(hertz)
    tones = maskers(level, hertz)
    total = 10 ** (quiet / 10)
    if len(tones):
        around = torch.stack([tones - 1, tones, tones + 1])
        loud = 10 * torch.log10((10 ** (level[around] / 10)).sum(0))[:, None]
        away = place - place[tones][:, None]  # [tones, F], positive above the tone
        slope = torch.where(away > 0, -27 + 0.37 * (loud - 40).clamp_min(0), 27)
        hidden = loud - 6.025 - 0.275 * place[tones][:, None] + slope * away
        total = total + (10 ** (hidden / 10)).sum(0)
    return 10 * torch.log10(total)


def maskers(level: Tensor, hertz: Tensor) -> Tensor:
    """Return the positions, ascending, of the tones among the levels [F]: local peaks above the threshold in quiet, the loudest
    within half a Bark."""
    inner, place = level[1:-1], bark(hertz)
    peaks = ((inner >= level[:-2]) & (inner > level[2:]) & (inner > in_quiet(hertz)[1:-1])).nonzero()[:, 0] + 1
    near = (place[peaks][:, None] - place[peaks]).abs() < CLOSE
    louder = level[peaks][:, None] < level[peaks]
    return peaks[~(near & louder).any(1)]


def in_quiet(hertz: Tensor) -> Tensor:
    """Return the threshold of hearing in quiet in dB SPL (Terhardt 1979), lowered, at 20 Hz and above; below as at 20 Hz."""
    khz = hertz.clamp_min(20) / 1000
    return 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4 - QUIETER


def bark(hertz: Tensor) -> Tensor:
    """Return places on the Bark scale (Zwicker & Terhardt 1980)."""
    return 13 * torch.atan(0.00076 * hertz) + 3.5 * torch.atan((hertz / 7500) ** 2)
