"""What is a sticker's own and an insect's own: masks, optima, penalties, and what they do to road signs through unseen views."""

import math

import pytest
import torch
from cases import batch_of, run, statuses
from models import Linear, numbers, pixels
from patch_cases import SPEED_LIMIT, net, signs, spec, through

import raygrid
from raygrid.attacks.catalog_patch import Insects, Sticker
from raygrid.attacks.placements import CONFIRM, PGPE, Placed, Race
from raygrid.batch import channel_of, constraint_of
from raygrid.data.signs import sign_mask
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.kernel import craft, score
from raygrid.masks import sticker_mask
from raygrid.metrics.printing import non_printability, printable_colors, total_variation
from raygrid.outputs import run_model

# Masks


@pytest.mark.parametrize(("mask", "share"), [("square", 0.09), ("square", 0.3), ("disk", 0.09), ("disk", 0.3)])
def test_a_patch_has_its_area_and_its_place(mask, share):
    params = Sticker(mask=mask, area=share, place=(0.4, 0.55))
    found = sticker_mask(params, ["a", "b"], (3, 120, 100))
    assert found.shape == (2, 1, 120, 100)
    assert found[0].float().mean().item() == pytest.approx(share, rel=0.06)
    rows, columns = found[1, 0].nonzero().float().unbind(1)
    assert (rows.mean().item() + 0.5, columns.mean().item() + 0.5) == pytest.approx((48, 55), abs=0.6)


@pytest.mark.parametrize("part", ["bars", "face"])
def test_masks_on_signs_are_theirs_whatever_stands_beside_them(part):
    ids = signs().ids
    found = sticker_mask(Sticker(mask=part), ids, (3, 32, 32))
    assert found.flatten(1).any(1).all()
    assert (found.numpy() == sign_mask(ids, 32, part)).all()
    assert torch.equal(sticker_mask(Sticker(mask=part), [ids[5]], (3, 32, 32)), found[[5]])


@pytest.mark.parametrize(
    ("params", "shape", "message"),
    [
        (
            Sticker(place=(0.05, 0.5)),
            (3, 32, 32),
            "a square of 7.16 pixels at place [0.05, 0.5] does not lie on 32x32 pixels",
        ),
        (
            Sticker(mask="disk", area=0.9),
            (3, 32, 32),
            "a disk of 34.3 pixels at place [0.5, 0.5] does not lie on 32x32",
        ),
        (Sticker(area=0.002), (1, 32, 32), "a square of 1.43 pixels covers hardly one of 32x32; give it more area"),
        (
            Sticker(mask="bars"),
            (3, 8, 8),
            "the bars of a sign on 8x8 pixels may hold none; draw signs of 16 pixels at least",
        ),
        (Insects(within="face", area=0.5, least=1), (3, 8, 8), "the face of a sign on 8x8 pixels may hold none"),
        (Sticker(printability=1), (1, 32, 32), "printability is of pictures of 3 channels, not 1"),
        (Insects(), (1, 28, 28), "insects are drawn in 3 channels, not 1"),
        (Insects(area=0.01), (3, 32, 32), "the smallest insects, of 1.6 pixels, are blots on 32x32"),
    ],
)
def test_what_does_not_fit_a_picture_is_told(params, shape, message):
    assert message in params.misfit(shape)


def test_what_fits_a_picture_is_not_complained_of():
    for params in (Sticker(area=1.0), Sticker(mask="disk", area=0.78), Sticker(mask="bars"), Insects()):
        assert params.misfit((3, 32, 32)) is None


# Stickers


def test_a_sticker_reaches_the_optimum_of_a_linear_victim_inside_its_mask():
    """There the best point is known: every value inside the mask at the end of the box that the weights ask for."""
    model = Linear(numbers(2, 3 * 64), torch.zeros(2))
    x = pixels(5, 3, 8, 8, seed=1)
    batch = batch_of(x, model(x).argmax(1), 2)
    attack = spec("sticker", area=0.25, steps=100, access="transfer")
    made = craft(model, batch, attack, 0, access="gradient")
    constraint = constraint_of(attack, batch)
    towards = (model.weight[1 - batch.labels] - model.weight[batch.labels]).view_as(x)
    best = torch.where(constraint.mask, (towards > 0).float(), x)
    goal = Goal("untargeted", batch.labels)
    assert torch.allclose(goal.margin(model(made.x_adv)), goal.margin(model(best)), atol=1e-3)


@pytest.mark.parametrize(
    ("weight", "measure"),
    [
        ({"closeness": 5.0}, lambda z, x, mask: (z - x).flatten(1).norm(dim=1)),
        ({"closeness": 0.3, "closeness_norm": "l1"}, lambda z, x, mask: (z - x).flatten(1).abs().sum(1)),
        ({"printability": 0.5}, lambda z, x, mask: non_printability(z, printable_colors(), mask)),
        ({"smoothness": 0.25}, lambda z, x, mask: total_variation(z, mask)),
    ],
    ids=["l2", "l1", "printability", "smoothness"],
)
def test_a_penalty_lowers_what_it_penalizes(weight, measure):
    batch = signs(8, ("stop",))
    shared = {"mask": "face", "steps": 80, "access": "transfer", "goal": "targeted", "target": SPEED_LIMIT}
    plain, careful = (craft(net(), batch, spec("sticker", **shared, **w), 0, access="gradient") for w in ({}, weight))
    mask = constraint_of(spec("sticker", **shared), batch).mask
    before, after = (measure(made.x_adv, batch.x, mask).mean() for made in (plain, careful))
    assert after < 0.8 * before
    fooled = (net()(careful.x_adv).argmax(1) == SPEED_LIMIT).sum()
    assert fooled >= 6


def frames(attack, batch, draws=20):
    """Share of unseen views of all signs that are read as the attack wants, and the verdicts."""
    made = craft(net(), batch, attack.as_crafted, 0, access=attack.component.access)
    clean = run_model(net(), batch.x, 12, None, draws, channel_of(attack, batch, 0))
    verdicts = score(net(), batch, attack, 0, made.x_adv, made.failures, clean)
    return sum(v.draws_fooled or 0 for v in verdicts) / (draws * len(verdicts)), verdicts


def test_stickers_make_stop_signs_speed_limits_through_views_that_they_never_saw():
    """Of 20 signs and 300 steps: 95 % of the views with awareness `channel`, 79 % with `none`."""
    batch = signs(10, ("stop",))
    shared = {"mask": "bars", "steps": 100, "goal": "targeted", "target": SPEED_LIMIT}
    aware, verdicts = frames(spec("sticker", **shared, **through()), batch)
    unaware, _ = frames(spec("sticker", **shared, **through("none")), batch)
    assert aware >= 0.85
    assert aware > unaware + 0.1
    assert all(v.clean_correct and v.draws == 20 for v in verdicts)
    assert statuses(verdicts).count("broken") >= 8


def test_the_notebook_has_stickers_and_sends_masks_on_signs_to_a_job():
    batch = signs(4, ("stop",))
    attacked = raygrid.attack(
        net(), batch.x, batch.labels, "sticker", mask="disk", area=0.1, steps=10, channel="view", draws=5
    )
    changed = (attacked.x_adv != batch.x).any(1).float().mean((1, 2))
    assert (changed <= 0.11).all() and (changed > 0.05).all()
    assert {v.draws for v in attacked.verdicts} == {5}
    with pytest.raises(UsageError, match="for samples of road-signs, in a job"):
        raygrid.attack(net(), batch.x, batch.labels, "sticker", mask="bars")


# Insects


@pytest.mark.parametrize("area", [0.05, 0.2])
def test_an_insect_changes_no_more_than_its_square_and_a_smooth_rim(area):
    batch = signs()
    made, _ = run(net(), batch, spec("random", area=area, access="transfer"), access="score")
    changed = (made.x_adv != batch.x).any(1)
    side = math.sqrt(area * 32 * 32)
    for mask in changed:
        rows, columns = mask.nonzero().unbind(1)
        assert max(rows.max() - rows.min(), columns.max() - columns.min()) < side * math.sqrt(2) + 1  # it may be turned
    most = Insects(area=area).most_pixels((3, 32, 32))
    assert side**2 / 4 <= changed.sum((1, 2)).max() <= most == math.floor((side + 2) ** 2)


def test_an_insect_that_is_too_large_is_invalid():
    batch = signs()
    clean = run_model(net(), batch.x, 12)
    most = spec("random").params.most_pixels((3, 32, 32))
    for pixels_, status in ((most, {"robust", "broken"}), (most + 1, {"invalid"})):
        x_adv = batch.x.clone().flatten(2)
        x_adv[:, 1, :pixels_] = 1 - x_adv[:, 1, :pixels_]
        found = score(net(), batch, spec("random"), 0, x_adv.view_as(batch.x), {}, clean)
        assert set(statuses(found)) <= status


@pytest.mark.parametrize("search", ["random", "pgpe"])
def test_looking_where_to_put_an_insect_pays(search):
    batch = signs(10, ("stop",))
    shared = {"area": 0.2, "goal": "targeted", "target": SPEED_LIMIT, **through()}
    anywhere, _ = frames(spec("insects", queries=3, **shared), batch)
    sought, verdicts = frames(spec("insects", queries=600, search=search, **shared), batch)
    assert anywhere < 0.15
    assert sought > anywhere + 0.15
    assert all(v.clean_correct for v in verdicts)


def test_a_rival_takes_the_place_of_the_best_after_enough_looks_in_the_lead():
    start = Placed(torch.tensor([1, 2]), torch.full((2, 4), 0.5))
    race, everyone = Race(start), torch.arange(2)
    other = Placed(torch.tensor([7, 8]), torch.full((2, 4), 0.1))
    for look in range(CONFIRM):
        rival = race.challenge(everyone, other if look == 0 else start)
        assert rival.which.tolist() == [7, 8 if look == 0 else 2], "a rival that lost is gone, one in the lead stays"
        assert race.best.which.tolist() == [1, 2]
        race.settle(everyone, torch.tensor([1.0, 1.0]), torch.tensor([0.5, 1.5]))
    assert race.best.which.tolist() == [7, 2]
    assert race.best.at[0, 0] == pytest.approx(0.1) and race.best.at[1, 0] == 0.5


def test_pgpe_goes_to_the_least_of_a_bowl_and_stays():
    walk, mu = PGPE(6, 4, pixels(1)), pixels(6, 4, seed=3)
    aim, everyone = torch.tensor([0.3, 0.7, 0.5, 0.6]), torch.arange(6)
    for k in range(2000):
        e = walk.sigma * numbers(6, 4, seed=k)
        loss = [10 * (mu + side * e - aim).square().sum(1) - 4 for side in (1, -1)]
        mu = mu + walk.step(everyone, e, *loss)
    assert (mu - aim).abs().max() < 0.1
    assert walk.sigma.min() >= 0.01
