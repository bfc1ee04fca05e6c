"""Stickers and insects: masks, budgets, random numbers, optima, and what they do to road signs through unseen views.

tests/golden/patches.json is written anew by `python tests/attacks/test_patch.py`, after a version was raised.
"""

import inspect
import json
import math
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the script

from cases import batch_of, run, statuses
from models import Counting, Linear, numbers, pixels, victim

import raygrid
from raygrid.attacks.catalog_patch import Insects, Sticker
from raygrid.attacks.insect_search import CONFIRM, PGPE, Placed, Race
from raygrid.channels.catalog import VIEW, View
from raygrid.component import ACCESS_ORDER, resolve
from raygrid.data.dataset import pixels as pixels_of
from raygrid.data.signs import sign_mask
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.judge import run_model
from raygrid.kernel import Batch, channel_of, constraint_of, craft, score
from raygrid.masks import sticker_mask
from raygrid.metrics.printing import non_printability, printable_colors, total_variation
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, Budget, ChannelSpec

torch.set_num_threads(1)
CASES = {
    "square": ("sticker", {"steps": 6, "area": 0.1}),
    "disk": ("sticker", {"mask": "disk", "steps": 6, "area": 0.2, "place": (0.4, 0.6)}),
    "bars": ("sticker", {"mask": "bars", "steps": 6, "printability": 0.5, "smoothness": 0.1, "closeness": 0.1}),
    "face": ("sticker", {"mask": "face", "steps": 6, "closeness": 0.1, "closeness_norm": "l1"}),
    "random": ("insects", {"queries": 21}),
    "pgpe": ("insects", {"queries": 21, "search": "pgpe", "within": "face", "area": 0.2}),
}
EVERY = pytest.mark.parametrize("case", CASES)
SPEED_LIMIT = 4
GOLDEN = Path(__file__).parents[1] / "golden" / "patches.json"
GOALS = {
    "untargeted": {},
    "targeted": {"goal": "targeted", "target": SPEED_LIMIT},
    "random-target": {"goal": "random-target"},
}


@cache
def signs(n=12, only=()):
    component = find("data", "road-signs")
    table = resolve(component.build)(parse(component, {"classes": only}), n).table
    labels = torch.tensor(table.column("label").to_numpy())
    return Batch(table.column("sample_id").to_pylist(), torch.tensor(pixels_of(table)), labels, 12)


def net():
    return victim("sign-cnn")


def spec(case, **rest):
    name, params = CASES.get(case, (case, {}))
    fields = {key: rest.pop(key) for key in list(rest) if key in AttackSpec.__dataclass_fields__}
    component = find("attack", name)
    return AttackSpec(component, parse(component, {**params, **rest}), "", math.inf, **fields)


def through(awareness="channel", views=None):
    return {"channel": ChannelSpec(VIEW, views or View()), "awareness": awareness}


def direct(case, oracle, batch, goal=None):
    """Run the attack itself."""
    attack = spec(case)
    goal = goal or Goal("untargeted", batch.labels)
    randomness = Randomness(0, attack.component.name, batch.ids)
    return resolve(attack.component.build)(
        oracle, goal, batch.x, constraint_of(attack, batch), randomness, **dict(attack.params)
    )


# What every attack keeps to


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("channel", [False, True], ids=["no channel", "view"])
@EVERY
def test_stays_inside_its_constraint(case, goal, channel):
    attack = spec(case, **GOALS[goal], **(through() if channel else {}))
    made, verdicts = run(net(), signs(), attack)
    assert not made.failures
    constraint = constraint_of(attack, signs())
    assert constraint.allows(made.x_adv, signs().x).all()
    outside = ~constraint.mask.expand_as(made.x_adv)
    assert torch.equal(made.x_adv[outside], signs().x[outside])
    assert set(statuses(verdicts)) <= {"robust", "broken", "skipped"}
    assert (made.x_adv != signs().x).flatten(1).any(1).sum() >= 10


@EVERY
def test_a_change_outside_its_mask_is_invalid(case):
    if case == "random":
        pytest.skip("may sit anywhere")
    attack, batch = spec(case), signs()
    mask = constraint_of(attack, batch).mask
    clean = run_model(net(), batch.x, 12)
    x_adv = torch.where(mask, batch.x, 1 - batch.x)
    assert set(statuses(score(net(), batch, attack, 0, x_adv, {}, clean))) == {"invalid"}


@pytest.mark.parametrize("micro_batch", [None, 5])
@EVERY
def test_spends_all_its_passes_and_no_more_when_nothing_stops_it(case, micro_batch):
    model, batch = Counting(net()), signs(3)
    access = find("attack", CASES[case][0]).access
    oracle = Oracle(model, 3, access=access, stop_early=False, micro_batch=micro_batch)
    direct(case, oracle, batch)
    forwards, backwards = spec(case).params.passes()
    assert oracle.forwards.tolist() == [forwards] * 3 and model.forwards == 3 * forwards
    assert oracle.backwards.tolist() == [backwards] * 3 and model.backwards == 3 * backwards
    assert forwards <= getattr(spec(case).params, "queries", forwards)


@pytest.mark.parametrize("budget", [Budget(0), Budget(1), Budget(5), Budget(None, 0), Budget(None, 3)], ids=str)
@EVERY
def test_spends_no_more_than_its_budget(case, budget):
    made, _ = run(net(), signs(), spec(case, budget=budget, goal="random-target"))
    assert not made.failures
    assert max(made.forwards) <= (1000 if budget.queries is None else budget.queries)
    assert max(made.backwards) <= (1000 if budget.gradients is None else budget.gradients)


@EVERY
def test_spends_nothing_on_what_is_wrong_already_and_stops_at_success(case):
    batch = signs()
    labels = batch.labels.clone()
    labels[::4] = (labels[::4] + 1) % 12
    made, verdicts = run(net(), batch_of(batch.x, labels, 12, batch.ids), spec(case))
    most, _ = spec(case).params.passes()
    for i, verdict in enumerate(verdicts):
        if i % 4 == 0:
            assert (verdict.status, made.forwards[i]) == ("clean_wrong", 0)
            assert torch.equal(made.x_adv[i], batch.x[i])
        else:
            assert verdict.status == ("broken" if made.claimed[i] else "robust")
            assert made.forwards[i] == most or made.claimed[i]


@EVERY
def test_a_broken_sample_is_left_alone(case):
    made, verdicts = run(
        net(), signs(), spec(case, **({"steps": 60} if CASES[case][0] == "sticker" else {"queries": 60}))
    )
    fell = [spent for spent, v in zip(made.forwards, verdicts, strict=True) if v.status == "broken"]
    assert fell and min(fell) < 60


@pytest.mark.parametrize("channel", [False, True], ids=["no channel", "view"])
@EVERY
def test_does_not_depend_on_batch_order_and_micro_batch(case, channel):
    batch, order = signs(), [7, 2, 9, 0, 4, 11, 1, 8, 3, 10, 6, 5]
    attack = spec(case, goal="random-target", **(through() if channel else {}))
    whole, _ = run(net(), batch, attack)
    for micro_batch in (1, 5):
        shuffled, _ = run(net(), batch.take(order), attack, micro_batch=micro_batch)
        assert same(shuffled.x_adv, whole.x_adv[order])
    alone, _ = run(net(), batch.take([4]), attack)
    assert same(alone.x_adv, whole.x_adv[[4]])


def same(z, other):
    """Up to rounding, which sends one of twelve over a kink of the net, and on a slightly other way."""
    apart = (z - other).abs().flatten(1).amax(1)
    return (apart > 1e-3).sum() <= 1 and apart.max() < 0.1


@EVERY
def test_a_rerun_is_bit_identical_and_another_seed_is_not(case):
    attack = spec(case, **through())
    once, again, other = (run(net(), signs(), attack, seed=seed)[0].x_adv for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@EVERY
def test_needs_exactly_the_access_that_the_catalog_says(case):
    access = find("attack", CASES[case][0]).access
    less = ACCESS_ORDER[ACCESS_ORDER.index(access) - 1]
    with pytest.raises(AccessDeniedError, match=f"asked for {access} access and has {less} access"):
        direct(case, Oracle(net(), 12, access=less), signs())


@pytest.mark.parametrize("name", ["sticker", "insects"])
def test_the_function_takes_what_the_catalog_declares_and_explains(name):
    component = find("attack", name)
    signature = inspect.signature(resolve(component.build)).parameters.values()
    assert {p.name for p in signature if p.kind is p.KEYWORD_ONLY} == set(component.params.model_fields)
    assert all(field.description for field in component.params.model_fields.values())
    assert component.norms == () and len(component.goals) == 3 and "20" in component.source


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
    walk, mu = PGPE(6, pixels(1)), pixels(6, 4, seed=3)
    aim, everyone = torch.tensor([0.3, 0.7, 0.5, 0.6]), torch.arange(6)
    for k in range(2000):
        e = walk.sigma * numbers(6, 4, seed=k)
        loss = [10 * (mu + side * e - aim).square().sum(1) - 4 for side in (1, -1)]
        mu = mu + walk.step(everyone, e, *loss)
    assert (mu - aim).abs().max() < 0.1
    assert walk.sigma.min() >= 0.01


# Golden outputs


def golden_outcome(case):
    """A few sums of what becomes of the signs, without and with a channel."""
    weights = numbers(3, 3 * 32 * 32, seed=1) / 55
    outcomes = {}
    for name, more in {"plain": {}, "view": through()}.items():
        made, verdicts = run(net(), signs(4), spec(case, **GOALS["random-target"], **more))
        sums = ((made.x_adv - signs(4).x).flatten(1) @ weights.T).flatten().tolist()
        outcomes[name] = {"statuses": statuses(verdicts), "sums": [round(value, 4) for value in sums]}
    return outcomes


@EVERY
def test_outputs_move_only_with_a_new_version(case):
    golden = json.loads(GOLDEN.read_text())
    assert golden["versions"][CASES[case][0]] == find("attack", CASES[case][0]).version, "write patches.json anew"
    for name, outcome in golden_outcome(case).items():
        assert outcome["statuses"] == golden[case][name]["statuses"], "raise the version and write patches.json anew"
        assert outcome["sums"] == pytest.approx(golden[case][name]["sums"], abs=2e-3)


if __name__ == "__main__":
    versions = {name: find("attack", name).version for name in ("sticker", "insects")}
    lines = [f'"{name}": {json.dumps(value)}' for name, value in {"versions": versions}.items()]
    lines += [f'"{case}": {json.dumps(golden_outcome(case))}' for case in CASES]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
