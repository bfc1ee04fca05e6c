"""The nearest points of planes."""

import models
import pytest
import torch

import raygrid
from raygrid.attacks import fab
from raygrid.attacks.planes import PROJECTIONS, STEEPEST, to_plane, to_plane_as_published
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
    constraint = Constraint("l2", 1.0)
    shortest, published = to_plane(PROJECTIONS["l2"], z, w, f, constraint), to_plane_as_published(z, w, f, constraint)
    assert ((shortest - published).norm(dim=2) <= 1e-5 * shortest.norm(dim=2)).all()
    assert ((z + published) >= -1e-6).all() and ((z + published) <= 1 + 1e-6).all()


def test_the_published_way_does_not_move_what_has_no_slope_and_stays_where_nothing_has():
    z, f = torch.full((1, 2, 4), 0.5), torch.full((1, 2, 1), -0.2)
    w = torch.tensor([[1.0, 1.0, 0.0, 1e-9], [0.0, 0.0, 0.0, 0.0]])
    move = to_plane_as_published(z, w, f, Constraint("l2", 1.0))
    assert torch.allclose(move[0], torch.tensor([[0.1, 0.1, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))


def test_the_published_way_misses_the_planes_that_the_authors_code_misses(monkeypatch):
    """On planes of a run on the adversarial network, some of which lie within reach and are missed."""
    theirs = pytest.importorskip("pyautoattack.fab_projections", reason="pyautoattack is the authors' code")
    constraint, planes = Constraint("l2", 1.0), []

    def watched(z, w, f, constraint):
        planes.append((z, w, f))
        return to_plane_as_published(z, w, f, constraint)

    monkeypatch.setattr(fab, "to_plane_as_published", watched)
    x, y = models.digits(24)
    raygrid.attack(models.victim("mnist-cnn-adv"), x, y, "fab", norm="l2", eps=1.6, steps=40, targets=3, leaps=False)
    missed = off = 0
    for z, w, f in planes:
        exact, ours = to_plane(PROJECTIONS["l2"], z, w, f, constraint), to_plane_as_published(z, w, f, constraint)
        for k in range(2):
            way = theirs.projection_l2(z[k].clone(), w.clone(), (w * z[k]).sum(1) - f[k][:, 0])
            length = exact[k].norm(dim=1).clamp_min(1e-12)
            missed += int(((way - exact[k]).norm(dim=1) > 0.01 * length).sum())
            off += int(((way - ours[k]).norm(dim=1) > 0.01 * length).sum())
    assert missed > 3 and off <= missed / 4
