"""Batch norms folded into convolutions: the same answers and gradients, and left alone where that would change them."""

import pytest
import torch
from torch import Tensor, nn

from raygrid.victims.folding import folded


def lively(model: nn.Module) -> nn.Module:
    """Give batch norms something to do."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.running_mean is not None:
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.eval().requires_grad_(False)


class Attributes(nn.Module):
    """Named as in ResNets, and called out of the order of their names."""

    def __init__(self) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv1(x)).relu()


class Twice(nn.Module):
    """A convolution whose output goes another way as well, or one that runs twice."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again, self.conv, self.norm = again, nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + (self.conv(x + 1) if self.again else y)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
            ),
            0,
        ),
        (Attributes, 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), 1),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 1),
        (lambda: Twice(again=False), 1),
        (lambda: Twice(again=True), 1),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), 1),
        (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)), 1),
        (lambda: nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)), 1),
        (nn.Flatten, 0),
    ],
)
def test_a_folded_model_answers_the_same(build, left):
    torch.manual_seed(0)
    model = lively(build())
    before, x = norms(model), torch.rand(5, 3, 8, 8)
    quick = folded(model, x[:2])
    assert norms(quick) == left
    assert norms(model) == before  # itself untouched
    pairs = []
    for net in (model, quick):
        z = x.clone().requires_grad_(True)
        y = net(z)
        pairs.append((y.detach(), torch.autograd.grad(y.square().sum(), z)[0]))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
    assert not any(p.requires_grad for p in quick.parameters())
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in quick.modules()) == sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )


class Watching(nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        self.seen.append(torch.backends.cudnn.allow_tf32)
        return x


def test_answers_are_compared_in_float32_where_convolutions_may_drop_bits(monkeypatch):
    """What TF32 drops is more than what folding may change: on GPUs that have it nothing was folded."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen = []
    model = lively(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Watching(seen)))
    assert norms(folded(model, torch.rand(2, 3, 8, 8))) == 0
    assert seen == [False, False] and torch.backends.cudnn.allow_tf32
