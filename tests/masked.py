"""Victims that look robust because their gradients lead nowhere, and are not."""

import torch
from torch import Tensor, nn


class Quantized(nn.Module):
    """Rounds its input to a few levels: a gradient of zero everywhere."""

    def __init__(self, model: nn.Module, levels: int = 8) -> None:
        super().__init__()
        self.model, self.levels = model, levels

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x * self.levels).round() / self.levels)


class Saturated(nn.Module):
    """Answers with log-probabilities at a low temperature: float32 rounds nearly all of them away."""

    def __init__(self, model: nn.Module, temperature: float = 1e-3) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, x: Tensor) -> Tensor:
        return (self.model(x) / self.temperature).softmax(1).clamp_min(1e-30).log()


class Rippled(nn.Module):
    """Adds fine ripples to its input: gradients eight times too large, which turn about every four thousandths."""

    def __init__(self, model: nn.Module, height: float = 0.02, frequency: float = 400.0) -> None:
        super().__init__()
        self.model, self.height, self.frequency = model, height, frequency

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + self.height * (self.frequency * x).sin())


class _Rounded(torch.autograd.Function):
    """Rounds to multiples of a step; its gradient says that it does not."""

    @staticmethod
    def forward(ctx, x: Tensor, step: float) -> Tensor:
        return (x / step).round() * step

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class Compressed(nn.Module):
    """Rounds frequencies of blocks of 4 x 4, as JPEG does, with the gradient of the identity: right at large, wrong in detail."""

    def __init__(self, model: nn.Module, step: float = 0.6) -> None:
        super().__init__()
        self.model, self.step = model, step
        k = torch.arange(4.0)
        waves = (torch.pi / 4 * (k[None] + 0.5) * k[:, None]).cos() * (1 / 2) ** 0.5
        waves[0] *= (1 / 2) ** 0.5
        self.register_buffer("waves", waves)

    def forward(self, x: Tensor) -> Tensor:
        blocks = x.unfold(2, 4, 4).unfold(3, 4, 4)
        frequencies = _Rounded.apply(self.waves @ blocks @ self.waves.T, self.step)
        again = self.waves.T @ frequencies @ self.waves
        return self.model(again.permute(0, 1, 2, 4, 3, 5).reshape(x.shape))


class Shifting(nn.Module):
    """Looks at a crop that is drawn anew for every sample and pass."""

    def __init__(self, model: nn.Module, most: int = 2) -> None:
        super().__init__()
        self.model, self.most = model, most

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        padded = nn.functional.pad(x, (self.most,) * 4)
        corner = torch.randint(2 * self.most + 1, (2, n), device=x.device)
        rows = (corner[0][:, None] + torch.arange(h, device=x.device))[:, None, :, None]
        columns = (corner[1][:, None] + torch.arange(w, device=x.device))[:, None, None, :]
        sample = torch.arange(n, device=x.device)[:, None, None, None]
        return self.model(padded[sample, torch.arange(x.shape[1], device=x.device)[None, :, None, None], rows, columns])
