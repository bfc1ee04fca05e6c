"""That attacks find the best there is on a linear embedder, and see the photos that they know and no others."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from linear_faces import FAR, PEOPLE, VALUES, Embedder, attack_of, enrolled_by, isometry, run, trials
from models import numbers
from scipy.optimize import minimize

from raygrid.constraints import Constraint
from raygrid.enrollment import MATCH
from raygrid.goals import make_goal
from raygrid.oracle import Oracle
from raygrid.verification import match_of


def one_photo(similarity):
    """An isometric embedder, trials with one known photo, and the embeddings of both ends."""
    model, batch = Embedder(isometry()), trials(known=1)
    known = enrolled_by(model, similarity).of(batch.references.target_known)[:, 0]
    return model, batch, model(batch.x).detach(), known


def known_similarity(verdicts):
    return torch.tensor([look.similarity for verdict in verdicts for look in verdict.looks if look.known])


@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_in_an_l2_ball_attacks_find_the_nearest_embedding_there_is(name, goal):
    """W keeps distances: the best example goes straight at the photo, or away from it, by eps."""
    model, batch, own, known = one_photo("l2")
    if goal == "dodge":
        known = enrolled_by(model, "l2").of(batch.references.own_known)[:, 0]
    distance = (own - known).norm(dim=1)
    eps = 0.1
    best = (distance - eps).clamp_min(0) if goal == "impersonate" else distance + eps
    attack = attack_of(name, "l2", eps, goal, steps=40)
    assert batch.x.min() > eps * 0.3 and batch.x.max() < 1 - eps * 0.3  # no value is stopped by the box
    _, verdicts, _ = run(model, batch, attack, "l2")
    assert torch.allclose(known_similarity(verdicts), -best, atol=0.006)


@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_in_an_l2_ball_attacks_turn_an_embedding_by_the_largest_angle_there_is(name, goal):
    """The ball about an embedding e is seen under the angle asin(eps / |e|) from the origin."""
    model, batch, own, known = one_photo("cosine")
    if goal == "dodge":
        known = enrolled_by(model, "cosine").of(batch.references.own_known)[:, 0]
    eps = 0.3
    angle = torch.cosine_similarity(own, known).clamp(-1, 1).acos()
    turn = (eps / own.norm(dim=1)).asin()
    best = (angle - turn).clamp_min(0) if goal == "impersonate" else angle + turn
    _, verdicts, _ = run(model, batch, attack_of(name, "l2", eps, goal, steps=60))
    assert torch.allclose(known_similarity(verdicts), best.cos(), atol=0.004)


def best_in_box(w, x, known, eps, similarity, sign):
    """The most similar, or dissimilar, embedding of the L-inf ball in the box, by L-BFGS-B in float64 from many starts."""
    w, x, r = (a.detach().double().numpy() for a in (w, x.flatten(), known))
    low, high = np.maximum(x - eps, 0), np.minimum(x + eps, 1)

    def loss(z):
        e = w @ z
        if similarity == "l2":
            length = np.linalg.norm(e - r)
            return sign * length, sign * w.T @ (e - r) / length
        n, m = np.linalg.norm(e), np.linalg.norm(r)
        cosine = e @ r / (n * m)
        return -sign * cosine, -sign * w.T @ (r / (n * m) - cosine * e / n**2)

    rng = np.random.default_rng(0)
    starts = [x, *(rng.uniform(low, high) for _ in range(4))]
    found = [minimize(loss, z, jac=True, method="L-BFGS-B", bounds=list(zip(low, high, strict=True))) for z in starts]
    return -sign * min(one.fun for one in found)


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
def test_in_an_linf_ball_attacks_find_what_an_exact_search_finds(similarity, goal):
    model, batch = Embedder(numbers(9, VALUES, seed=7) / 3), trials(known=1).take([0, 5, 11, 17])
    whose = batch.references.own_known if goal == "dodge" else batch.references.target_known
    known = enrolled_by(model, similarity).of(whose)[:, 0]
    eps, sign = 0.08, 1 if goal == "impersonate" else -1
    best = [best_in_box(model.weight, x, r, eps, similarity, sign) for x, r in zip(batch.x, known, strict=True)]
    for name, params in (("pgd", {"steps": 100, "restarts": 3}), ("apgd", {"steps": 100, "restarts": 2})):
        _, verdicts, _ = run(model, batch, attack_of(name, "linf", eps, goal, **params), similarity)
        found = known_similarity(verdicts).numpy()
        if goal == "impersonate":
            assert found == pytest.approx(best, abs=0.01), name
            assert (found - best <= 1e-4).all()  # none is better than there is
        else:  # what is farthest lies in a corner, and which one is no convex question
            assert found == pytest.approx(best, abs=0.06), name


MANY = [
    ("fgsm", {}, "impersonate"),
    ("pgd", {"steps": 5, "restarts": 2}, "impersonate"),
    ("pgd", {"steps": 5}, "dodge"),
    ("mi-fgsm", {"steps": 5}, "impersonate"),
    ("apgd", {"steps": 8}, "impersonate"),
    ("apgd", {"steps": 8}, "dodge"),
    ("square", {"queries": 30}, "impersonate"),
    ("square", {"queries": 30}, "dodge"),
    ("nes", {"queries": 40, "samples": 4}, "impersonate"),
    ("hop-skip-jump", {"queries": 60}, "dodge"),
    ("hop-skip-jump", {"queries": 60}, "impersonate"),
    ("simba", {"queries": 40}, "impersonate"),
    ("uniform-noise", {"draws": 3}, "impersonate"),
]
EVERY = pytest.mark.parametrize(("name", "params", "goal"), MANY, ids=[f"{name}-{goal}" for name, _, goal in MANY])


@cache
def embedder():
    return Embedder(numbers(9, VALUES, seed=7) / 3)


@EVERY
def test_attacks_stay_in_their_ball_and_at_eps_zero_change_nothing(name, params, goal):
    batch = trials()
    attack = attack_of(name, eps=0.06, goal=goal, photos=2, **params)
    made, verdicts, _ = run(embedder(), batch, attack)
    assert not made.failures and "invalid" not in {v.status for v in verdicts}
    assert Constraint("linf", 0.06).allows(made.x_adv, batch.x).all()
    made, verdicts, _ = run(embedder(), batch, replace(attack, eps=0.0))
    assert torch.equal(made.x_adv, batch.x)
    assert all(v.similarity == pytest.approx(v.clean_similarity, abs=1e-6) for v in verdicts)
    assert "broken" not in {v.status for v in verdicts}


@EVERY
@pytest.mark.parametrize("combine", ["mean", "worst"])
def test_an_example_hardly_depends_on_batch_size_and_order(name, params, goal, combine):
    batch = trials()
    attack = attack_of(name, eps=0.06, goal=goal, photos=2, combine=combine, **params)
    whole, verdicts, _ = run(embedder(), batch, attack)
    order = torch.randperm(len(batch.ids), generator=torch.Generator().manual_seed(1)).tolist()
    for positions, micro_batch in ((list(range(len(order))), 1), (order, 5)):
        other, again, _ = run(embedder(), batch.take(positions), attack, micro_batch=micro_batch)
        for place, i in enumerate(positions):
            before, after = verdicts[i], again[place]
            assert [look.photo for look in before.looks] == [look.photo for look in after.looks]
            assert after.similarity == pytest.approx(before.similarity, abs=0.02), (name, i)
            assert other.forwards[place] == whole.forwards[i]


@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
def test_attacks_are_far_better_than_noise_and_never_see_the_photos_that_judge(goal):
    batch = trials()
    found = {}
    for name, params in (("pgd", {"steps": 20}), ("uniform-noise", {"draws": 1})):
        made, verdicts, _ = run(embedder(), batch, attack_of(name, eps=0.08, goal=goal, photos=2, **params))
        found[name] = np.mean([v.similarity - v.clean_similarity for v in verdicts])
        # Other photos judge: the example is the same one, bit for bit.
        swapped = replace(
            batch.references,
            target_judged=[photos[::-1][:1] for photos in batch.references.target_judged],
            own_judged=[photos[::-1][:1] for photos in batch.references.own_judged],
        )
        again, _, _ = run(
            embedder(), replace(batch, references=swapped), attack_of(name, eps=0.08, goal=goal, photos=2, **params)
        )
        assert torch.equal(made.x_adv, again.x_adv)
    sign = 1 if goal == "impersonate" else -1
    assert sign * found["pgd"] > 5 * abs(found["uniform-noise"])


def test_more_photos_make_other_examples_of_which_fewer_are_a_part():
    batch = trials(known=3, judged=2)
    one, three = (
        match_of(attack_of("pgd", photos=k), batch.references, enrolled_by(embedder(), "cosine"), FAR) for k in (1, 3)
    )
    assert torch.equal(three.known[:, :1], one.known) and torch.equal(three.judged, one.judged)
    assert [ids[:1] for ids in three.known_ids] == one.known_ids


def test_worst_raises_the_least_similar_photo_more_than_mean_does():
    batch = trials(known=3, judged=2)
    least = {}
    for combine in ("mean", "worst", "weighted"):
        _, verdicts, _ = run(embedder(), batch, attack_of("pgd", eps=0.05, photos=3, combine=combine, steps=60))
        least[combine] = np.mean([min(look.similarity for look in v.looks if look.known) for v in verdicts])
    assert least["worst"] > least["mean"] and least["weighted"] > least["mean"]


def test_nobody_is_compared_where_there_are_no_references():
    batch, table = trials(), enrolled_by(embedder(), "cosine")
    attack = attack_of("pgd")
    assert match_of(attack, None, table, FAR) is match_of(attack, batch.references, None, FAR) is None
    assert match_of(attack, batch.references, table, None) is None


def test_the_oracle_reads_out_what_a_decision_attack_may_know():
    """Of access decision: whether it matches, and no similarity."""
    batch, model = trials(), embedder()
    compared = match_of(attack_of("pgd", photos=2), batch.references, enrolled_by(model, "cosine"), FAR)
    oracle = Oracle(model, len(batch.ids), access="decision", readout=compared)
    goal = make_goal("impersonate", batch.labels, PEOPLE)
    everyone = torch.arange(len(batch.ids))
    decided = oracle.decide(goal, batch.x, everyone)
    assert torch.equal(decided, compared(model(batch.x), everyone)[:, MATCH] > 0)
    with pytest.raises(RuntimeError, match="score access"):
        oracle.look(goal, batch.x, everyone)


# By decisions alone, from the photos that the attacker has

BY_DECISION = pytest.mark.parametrize(
    ("name", "norm"), [("hop-skip-jump", "l2"), ("surfree", "l2"), ("hop-skip-jump", "linf")]
)


def nearest_match(batch, enrolled, norm):
    """How far each photo is from the first point on the straight way to the known one that passes for it."""
    known = enrolled.of(batch.references.target_known)[:, 0]
    shares = torch.linspace(0, 1, 2001)
    way = batch.starts[:, 0] - batch.x
    found = []
    for i in range(len(batch.ids)):
        points = batch.x[i] + shares[:, None, None, None] * way[i]
        alike = torch.cosine_similarity(embedder()(points), known[i][None], dim=1)
        first = int((alike > enrolled.threshold(FAR)).byte().argmax())
        δ = (points[first] - batch.x[i]).flatten()
        found.append(float(δ.abs().max() if norm == "linf" else δ.norm()))
    return np.array(found)


@BY_DECISION
def test_a_walk_from_a_photo_of_the_target_ends_nearer_than_the_straight_way_from_it(name, norm):
    batch, enrolled = trials(known=1), enrolled_by(embedder(), "cosine")
    straight = nearest_match(batch, enrolled, norm)
    attack = attack_of(name, norm, 10.0, queries=600)
    made, _, compared = run(embedder(), batch, replace(attack, eps=float(np.quantile(straight, 0.5))))
    assert not made.failures  # a random point of the box passes for nobody: without the photos there is no start
    claimed = np.array(made.claimed)
    share = claimed.mean()
    assert share > 0.8, share  # of which the straight way brings half below eps
    δ = (made.x_adv - batch.x).flatten(1)
    length = δ.abs().amax(1) if norm == "linf" else δ.norm(dim=1)
    known = compared(embedder()(made.x_adv), torch.arange(len(batch.ids)))[:, MATCH] > 0
    assert (
        known[torch.tensor(claimed)].all()
        and length[torch.tensor(claimed)].max() <= np.quantile(straight, 0.5) * 1.0001
    )


@BY_DECISION
def test_where_nothing_near_passes_the_known_photos_the_others_judge_the_point_at_eps(name, norm):
    """The clean photo in its place would be called robust without having been attacked."""
    batch = trials(known=1)
    eps = 0.01 * float(nearest_match(batch, enrolled_by(embedder(), "cosine"), norm).min())
    made, verdicts, _ = run(embedder(), batch, attack_of(name, norm, eps, queries=100))
    δ = (made.x_adv - batch.x).flatten(1)
    length = δ.abs().amax(1) if norm == "linf" else δ.norm(dim=1)
    assert not any(made.claimed)
    assert (length > 0.99 * eps).all()
    assert "invalid" not in {verdict.status for verdict in verdicts}


@BY_DECISION
def test_an_example_goes_as_far_as_eps_allows_since_other_photos_judge(name, norm):
    batch = trials(known=1)
    straight = nearest_match(batch, enrolled_by(embedder(), "cosine"), norm)
    found = {}
    for eps in (float(straight.max()), 1.5 * float(straight.max())):
        made, verdicts, _ = run(embedder(), batch, attack_of(name, norm, eps, queries=300))
        found[eps] = np.mean([v.similarity for v in verdicts])
        δ = (made.x_adv - batch.x).flatten(1)
        length = (δ.abs().amax(1) if norm == "linf" else δ.norm(dim=1)).numpy()
        assert np.median(length) > 0.9 * eps and length.max() <= eps * 1.0001
    near, far = found.values()
    assert far > near


def test_a_walk_needs_a_photo_that_passes_for_the_others_and_says_so_where_none_does():
    batch = trials(known=2)
    blank = replace(batch, starts=torch.full_like(batch.starts, 0.5))
    attack = attack_of("surfree", "l2", 5.0, photos=2, queries=50, start_tries=3)
    made, verdicts, _ = run(embedder(), blank, attack)
    assert made.failures and all("none of 2 known photos and 3 random points" in why for why in made.failures.values())
    assert {verdicts[i].status for i in made.failures} <= {"error", "clean_wrong"}
    fine, _, _ = run(embedder(), batch, attack)
    assert not fine.failures and max(fine.forwards) <= 50


def test_of_the_photos_an_attacker_starts_from_no_more_than_he_has():
    """Another second photo is nothing to who has one, and something to who has two of which the first does not pass."""
    batch = trials(known=2)
    first, second = batch.starts[:, 0], torch.full_like(batch.starts[:, 1], 0.5)
    swapped = replace(batch, starts=torch.stack([second, first], 1))
    attack = attack_of("surfree", "l2", 5.0, queries=30, start_tries=1)
    one, _, _ = run(embedder(), swapped, attack)
    two, _, _ = run(embedder(), swapped, replace(attack, photos=2))
    assert one.failures and not two.failures  # a picture of cells may pass for somebody by chance
