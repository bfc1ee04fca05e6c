"""Linear filters by Fourier transform, with a backward pass that costs no more than the forward one."""

from typing import Any

import torch
from torch import Tensor


def filtered(x: Tensor, spectrum: Tensor, n: int) -> Tensor:
    """Return waveforms [..., T], each multiplied by a spectrum among periods of n samples, zeros after its own.

    Args:
        x: waveforms [..., T], T at most n. Dimensions before the last are broadcast; one waveform that meets several spectra is
            transformed once.
        spectrum: what each frequency is multiplied by, real or complex [..., n // 2 + 1], as `torch.fft.rfft` orders them.
        n: length of the period.

    Returns:
        The first T samples of each period. Differentiable in x, and not in the spectrum: with it, the transform's own backward pass
        takes a complex one of twice the length.
    """
    y: Tensor = _Filtered.apply(x, spectrum.detach(), n)  # type: ignore[no-untyped-call]
    return y


class _Filtered(torch.autograd.Function):
    """y = S F* D F S' x, with F the real Fourier transform, D the spectrum, S' padding and S cutting."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, spectrum: Tensor, n: int) -> Tensor:
        ctx.save_for_backward(spectrum)
        ctx.shape, ctx.n = x.shape, n
        y: Tensor = torch.fft.irfft(torch.fft.rfft(x, n) * spectrum, n)[..., : x.shape[-1]]
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        (spectrum,) = ctx.saved_tensors
        n = ctx.n
        back = torch.fft.rfft(gradients[0], n) * spectrum.conj()
        back = back.sum_to_size(*ctx.shape[:-1], n // 2 + 1)
        return torch.fft.irfft(back, n)[..., : ctx.shape[-1]], None, None
