"""A face embedder that nobody has: a small net, trained where it is needed, on people whose photos are used for nothing else.

The loss is CosFace's (Wang et al., CVPR 2018): the cosine between an embedding and a direction learned for its person, less a
margin, against those of all others. Groups instead of batch statistics: what the net says of a photo hangs on that photo alone.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, linear, normalize, one_hot

from raygrid.victims.catalog_faces import PrivateEmbedder, identify_private
from raygrid.victims.face_crops import ARCFACE_BOX, Crop
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.train_mnist import initialize
from raygrid.victims.victim import Victim

WIDTHS = (24, 48, 96, 128)
"""Channels behind each convolution; each halves height and width."""
GROUPS = 8
GRID = 4
"""Height and width behind the last one: of 112 pixels, halved once before the first."""
SCALE, MARGIN = 16.0, 0.2
"""CosFace's s and m. The paper's s of 64 is for thousands of people."""
BATCH = 24
RATE, DECAY = 2e-3, 1e-2
"""Learning rate at its peak (it rises and falls over one cycle), and weight decay of AdamW."""
TURN, GROW, SHIFT = math.radians(8), 0.08, 0.06
"""Most that a photo is turned, scaled, and moved, as a share of half its side."""
CONTRAST, LIGHT = 0.3, 0.15


def build(params: PrivateEmbedder, info: VictimInfo, weights: Mapping[str, Tensor] | None = None) -> Victim:
    """Build the net with its weights; without any, as it is before it learns."""
    model = embedder(info.classes)
    if weights is None:
        initialize(model, Generator().manual_seed(params.seed))
    else:
        load_into(model, dict(weights), info.id)
    return Victim(model, info)


def embedder(width: int) -> nn.Sequential:
    """Return the untrained net: frames [B, 3, 160, 160] to embeddings [B, width], in named stages."""
    stages: dict[str, nn.Module] = {"crop": Crop(ARCFACE_BOX), "pool": nn.AvgPool2d(2)}
    stages["even"] = nn.GroupNorm(1, 3, affine=False)  # takes most of the light out of a photo
    channels = 3
    for number, out in enumerate(WIDTHS, 1):
        stages[f"conv{number}"] = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        stages[f"norm{number}"] = nn.GroupNorm(GROUPS, out)
        stages[f"relu{number}"] = nn.ReLU()
        channels = out
    stages["flatten"] = nn.Flatten()
    stages["embedding"] = nn.Linear(channels * GRID * GRID, width)
    return nn.Sequential(OrderedDict(stages))


def fit(params: PrivateEmbedder, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Train the net.

    Args:
        params: how long, and with which random numbers.
        x: frames [N, 3, 160, 160] in [0, 1].
        labels: whom they show [N].

    Returns:
        Its weights by name.

    Raises:
        ValueError: they show fewer than two people.
    """
    names, who = torch.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ValueError("a net that is to tell people apart learns from two at least")
    info = identify_private(params, "")
    generator = Generator().manual_seed(params.seed)
    model = embedder(info.classes)
    initialize(model, generator)
    people = (0.1 * torch.randn(len(names), info.classes, generator=generator)).to(x.device).requires_grad_()
    model = model.to(x.device)
    optimizer = torch.optim.AdamW([*model.parameters(), people], RATE, weight_decay=DECAY)
    steps = params.epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    with torch.enable_grad():
        for _ in range(params.epochs):
            for rows in torch.split(torch.randperm(len(x), generator=generator), BATCH):
                embeddings = model((varied(x[rows], generator) - info.mean[0]) / info.std[0])
                cosines = linear(normalize(embeddings, dim=1), normalize(people, dim=1))
                own = one_hot(who[rows], len(names))
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(SCALE * (cosines - MARGIN * own), who[rows]))
                optimizer.step()
                schedule.step()
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def varied(x: Tensor, generator: Generator) -> Tensor:
    """Return photos [B, C, H, W] turned, scaled, moved, mirrored and lit by chance, within the limits above."""
    turn, grow, right, down, mirror, contrast, light = (
        torch.rand(7, len(x), generator=generator).mul_(2).sub_(1).to(x.device)
    )
    angle, size, side = turn * TURN, 1 + grow * GROW, mirror.sign()
    rows = (
        torch.stack([side * angle.cos() / size, -angle.sin() / size, SHIFT * right], 1),
        torch.stack([side * angle.sin() / size, angle.cos() / size, SHIFT * down], 1),
    )
    grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    seen = grid_sample(x, grid, padding_mode="border", align_corners=False)
    gain, lift = (values.view(-1, 1, 1, 1) for values in (1 + CONTRAST * contrast, LIGHT * light))
    lit: Tensor = (seen - 0.5) * gain + 0.5 + lift
    return lit.clamp(0, 1)
