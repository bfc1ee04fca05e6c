"""The nearest points of planes."""

import pytest
import torch

from raygrid.attacks.planes import PROJECTIONS, STEEPEST, onto_l2_as_published, to_plane
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


def test_the_published_way_onto_a_plane_is_the_shortest_but_for_rounding():
    generator = torch.Generator().manual_seed(0)
    samples, size = 400, 784
    z = (torch.rand(2, samples, size, generator=generator) * 1.5 - 0.25).clamp(0, 1)  # a third at an edge of the box
    w = torch.randn(samples, size, generator=generator)
    reach = w.abs().sum(1, keepdim=True)
    f = reach * torch.tensor([0.01, 0.2, 0.9])[torch.arange(samples) % 3].view(-1, 1)  # at hand, far, out of reach
    f = f.expand(2, samples, 1)
    shortest, published = (
        to_plane(onto, z, w, f, Constraint("l2", 1.0)) for onto in (PROJECTIONS["l2"], onto_l2_as_published)
    )
    assert ((shortest - published).norm(dim=2) <= 1e-5 * shortest.norm(dim=2)).all()
    assert ((z + published) >= -1e-6).all() and ((z + published) <= 1 + 1e-6).all()


def test_the_published_way_does_not_move_what_has_no_slope_and_stays_where_nothing_has():
    room, gap = torch.full((1, 2, 4), 0.5), torch.tensor([[[0.2], [0.2]]])
    slope = torch.tensor([[1.0, 1.0, 0.0, 1e-9], [0.0, 0.0, 0.0, 0.0]])
    move = onto_l2_as_published(slope, room, gap)
    assert torch.allclose(move[0], torch.tensor([[0.1, 0.1, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
