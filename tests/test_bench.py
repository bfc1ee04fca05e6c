"""What `raygrid bench` times, never how long it takes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import Counting

from raygrid import bench, bench_compare
from raygrid.bench import attack_table, tasks, time_attack
from raygrid.bench_compare import achieved, compare, compare_table
from raygrid.bench_peers import PEERS, Peer, _estimates
from raygrid.constraints import Constraint
from raygrid.errors import UsageError
from raygrid.registry import find, of_kind

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning")

STEPS = 3


def cells(table):
    return [list(column.cells) for column in table.columns]


def tables(victims, attacks, samples, eps=None, table=attack_table):
    return cells(table(victims, None, attacks, STEPS, 120, samples, 1, eps, "cpu"))


def task(attack, norm, samples=4, queries=10, eps=None, steps=STEPS):
    found = tasks("mnist-cnn", None, [attack], steps, queries, samples, eps, "cpu")
    return next(task for task in found if task.constraint.norm == norm)


def test_the_table_has_a_line_for_every_victim_attack_and_norm():
    names, attacks, norms, samples, passes, attack, floor, ratio = tables(
        ["mnist-cnn", "mnist-cnn-adv"], ["pgd", "apgd-ce"], 2
    )
    assert names == ["mnist-cnn"] * 6 + ["mnist-cnn-adv"] * 6
    assert attacks[:6] == ["pgd"] * 3 + ["apgd-ce"] * 3
    assert norms[:6] == ["linf", "l2", "l1"] * 2
    # L1-APGD ends with a look in each of three balls.
    assert passes == (["4 + 3"] * 5 + ["6 + 3"]) * 2 and set(samples) == {"2"}
    assert all(float(value) > 0 for column in (attack, floor, ratio) for value in column)


@pytest.mark.parametrize(("victim", "samples"), [("mnist-cnn", 128), ("efficientnet-lite0", 8), ("cifar10-cnn", 20)])
def test_where_nobody_says_otherwise_as_many_samples_are_timed_as_a_host_attacks_at_once_and_each_once(victim, samples):
    assert {len(task.x) for task in tasks(victim, None, ["pgd"], 2, 2, None, None, "cpu")} == {samples}


SLOW = {"carlini-wagner"}
"""Its constants times its steps are thousands of passes, which no option of the bench makes fewer."""
ALONE = [
    component.name for component in of_kind("attack") if component.norms and not (component.suite or component.fit)
]


@pytest.mark.parametrize("name", [name for name in ALONE if name not in SLOW])
def test_every_attack_that_keeps_to_a_ball_is_timed(name):
    _, attacks, norms, *_, ratio = tables(["mnist-cnn"], [name], 2)
    assert tuple(norms) == find("attack", name).norms and set(attacks) == {name}
    assert all(float(value) > 0 for value in ratio)


@pytest.mark.parametrize(
    ("name", "norm", "spent"),
    [
        ("pgd", "linf", (4 * (STEPS + 1), 4 * STEPS)),
        ("pgd", "l2", (4 * (STEPS + 1), 4 * STEPS)),
        ("pgd", "l1", (4 * (STEPS + 1), 4 * STEPS)),
        ("fgsm", "linf", (4, 4)),
        ("square", "linf", (40, 0)),
        ("deepfool", "l2", None),  # as many as each sample takes
        ("hop-skip-jump", "l2", None),
    ],
)
def test_the_floor_runs_the_passes_that_the_attack_issued(name, norm, spent, monkeypatch):
    timed = task(name, norm, queries=150 if name == "hop-skip-jump" else 10)
    model, issued = Counting(timed.victim), []

    def watched(work, _):
        before = model.forwards, model.backwards
        work()
        issued.append((model.forwards - before[0], model.backwards - before[1]))
        return 1.0

    monkeypatch.setattr(bench, "seconds", watched)
    time_attack(replace(timed, victim=model), repeats=2)
    assert len(issued) == 4 and set(issued) == {spent or issued[0]} and issued[0][0] > 0


@pytest.mark.parametrize(
    ("name", "why"),
    [("autoattack", "raygrid bench autoattack"), ("corruption", "keeps to no ball"), ("universal", "learned once")],
)
def test_what_is_no_search_of_its_own_is_refused(name, why):
    with pytest.raises(UsageError, match=f'attack "{name}" .*{why}'):
        tables(["mnist-cnn"], [name], 1)


@pytest.mark.parametrize(("victims", "attacks"), [(["mnist-cn"], ["pgd"]), (["mnist-cnn"], ["pdg"])])
def test_an_unknown_name_is_a_mistake(victims, attacks):
    with pytest.raises(UsageError, match="did you mean"):
        tables(victims, attacks, 1)


def test_a_victim_that_hears_is_not_timed_on_pictures():
    with pytest.raises(UsageError, match='"yamnet" names sounds, and the benches time classifiers of pictures'):
        tables(["yamnet"], ["pgd"], 1)


def test_sizes_and_radii_go_where_an_attack_has_them():
    assert task("pgd", "linf").params.steps == STEPS
    assert task("square", "linf", queries=7).params.queries == 7
    assert task("pgd", "linf").constraint.eps == bench.MEASURED["mnist-cnn"]["linf"]
    assert task("pgd", "linf", eps=0.2).constraint.eps == 0.2
    assert math.isinf(task("fmn", "linf", eps=0.2).constraint.eps)


SETTLED = {"ddn": 30, "deepfool": 30, "fab": 5, "fmn": 30}
"""Steps after which most forms of a minimal-norm attack come about as near. FMN of the peers does so in L-inf alone: in the other
norms they often stay on this side of the boundary (`minimal_norm.fmn`)."""


@pytest.mark.parametrize(("attack", "norm"), [key for key in PEERS if key[0] not in SLOW])
def test_peers_run_and_are_about_as_strong(attack, norm):
    """A call that lost its options on the way (steps, radius, start) would break far less, or come far less near."""
    peers = [peer for peer in PEERS[attack, norm] if peer.installed]
    if not peers:
        pytest.skip(f"none of {', '.join(peer.package for peer in PEERS[attack, norm])} is installed")
    timed = task(attack, norm, samples=8, queries=120, steps=SETTLED.get(attack, STEPS))
    ours, *theirs = compare(timed, peers, repeats=1)
    assert ours.who == "raygrid" and [o.who.split()[0] for o in theirs] == [
        bench_compare.SHORT.get(peer.package, peer.package) for peer in peers
    ]
    assert all(o.passes >= 1 and o.ratio > 0 and o.seconds > 0 for o in theirs)
    if math.isfinite(timed.constraint.eps):
        assert all(abs(o.achieved - ours.achieved) <= 2 for o in theirs)
    elif attack in SETTLED and (attack, norm) not in {("fmn", "l2"), ("fmn", "l1"), ("fmn", "l0")}:
        assert all(o.achieved == pytest.approx(ours.achieved, rel=0.1) for o in theirs)


def small(examples):
    """A peer that gives back these examples, and seeds and draws from every global generator."""

    def call(task):
        torch.manual_seed(7)
        np.random.seed(7)
        task.victim(task.x)
        task.victim(task.x[:2])
        return examples(task)

    return Peer("numpy", ("numpy",), call)


def test_passes_and_success_are_counted_and_the_generators_put_back():
    fixed = task("pgd", "linf")
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    _, clean = compare(fixed, [small(lambda task: task.x)], repeats=1)
    assert (clean.passes, clean.achieved) == (1.5, int((fixed.victim(fixed.x).argmax(1) == fixed.y).sum()))
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
    assert not fixed.victim._forward_hooks


def test_an_example_outside_its_ball_or_box_counts_for_nothing():
    fixed, closest = task("pgd", "linf"), task("fmn", "l2")
    wrong = 1 - fixed.x
    assert (fixed.victim(wrong).argmax(1) != fixed.y).any()
    assert achieved(fixed, wrong) == 4
    assert achieved(replace(fixed, constraint=Constraint("linf", 1.0)), wrong) < 4
    assert achieved(closest, closest.x + 2) == math.inf
    assert achieved(closest, torch.full_like(closest.x, math.nan)) == math.inf


def test_the_closest_examples_are_told_by_their_median_distance():
    closest = task("fmn", "l2", steps=30)
    examples = closest.run(stop_early=True)[1]
    lengths = (examples - closest.x).flatten(1).norm(dim=1)
    assert achieved(closest, examples) == pytest.approx(float(lengths.sort().values[1:3].mean()))


def test_ours_stands_with_its_peers_and_without_any(monkeypatch):
    pair = {("pgd", "linf"): (small(lambda task: task.x), Peer("absent", ("no_such_module",), lambda task: task.x))}
    monkeypatch.setattr(bench_compare, "PEERS", pair)
    who, _, strength, _, _, ratio = tables(["mnist-cnn"], ["pgd"], 4, table=compare_table)
    attack = "[bold]mnist-cnn pgd "
    assert [name.split()[0] if name.startswith(" ") else name for name in who] == [
        *(f"{attack}linf 0.08[/]", "raygrid", "numpy"),
        *(f"{attack}l2 1[/]", "raygrid"),
        *(f"{attack}l1 5[/]", "raygrid"),
    ]
    assert [cell for cell in strength if cell.startswith("of")] == ["of 4"] * 3
    assert [bool(cell) for cell in ratio] == [False, False, True, False, False, False, False]


@pytest.mark.parametrize(("queries", "estimates"), [(100, 1), (240, 1), (242, 2), (500, 3)])
def test_a_peer_estimates_as_often_as_the_queries_allow(queries, estimates):
    params = task("hop-skip-jump", "l2", queries=queries).params
    assert _estimates(params) == estimates


def test_an_eps_beyond_the_range_is_refused():
    with pytest.raises(UsageError, match=r"--eps: .*larger than the whole input range"):
        list(tasks("mnist-cnn", None, ["pgd"], 2, 2, 2, 5.0, "cpu"))
