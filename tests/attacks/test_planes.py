"""The nearest points of planes."""

import pytest
import torch

from raygrid.attacks.planes import PROJECTIONS, STEEPEST, to_plane
from raygrid.constraints import Constraint


@pytest.mark.parametrize("norm", PROJECTIONS)
def test_the_way_to_a_plane_knows_nothing_of_its_neighbors(norm):
    """Slopes that are all alike leave many nearest points: which one it is must not hang on samples that have farther to go."""
    generator = torch.Generator().manual_seed(0)
    size = 5 * STEEPEST
    z = torch.rand(2, 5, size, generator=generator)
    w = torch.where(torch.rand(5, size, generator=generator) > 0.5, 1.0, -1.0)
    f = torch.tensor([0.5, 100.0, 3.0, 1e4, 20.0]).view(1, 5, 1).expand(2, 5, 1).contiguous()
    constraint = Constraint(norm, 1.0)
    way = to_plane(PROJECTIONS[norm], z, w, f, constraint)
    for i in range(5):
        alone = to_plane(PROJECTIONS[norm], z[:, i : i + 1], w[i : i + 1], f[:, i : i + 1], constraint)
        assert torch.equal(way[:, i : i + 1], alone)
    left = (f + (w * way).sum(-1, keepdim=True))[..., 0]
    assert left[:, [0, 1, 2, 4]].abs().max() < (1.0 if norm == "l0" else 1e-3)
    assert ((z + way) >= -1e-6).all() and ((z + way) <= 1 + 1e-6).all()
    assert left[:, 3].min() > 0  # farther than the box allows: into its corner
    corner = torch.where(w[3] > 0, 0.0, 1.0)
    assert torch.allclose((z + way)[:, 3], corner.expand(2, -1), atol=1e-5)
