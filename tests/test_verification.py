"""What makes decisions of embeddings, how they are judged, and that attacks find the best there is on a linear embedder."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from models import numbers, pixels
from scipy.optimize import minimize
from torch import nn

from raygrid.constraints import Constraint
from raygrid.enrollment import MATCH, NO_MATCH
from raygrid.goals import make_goal
from raygrid.judge import Outputs, looks_needed, run_model
from raygrid.kernel import Batch, craft, numbers_of, score
from raygrid.metrics.verification import threshold_at
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.spec import ONCE, AttackSpec, Judging
from raygrid.verification import SHARPNESS, Enrolled, Match, References, all_pairs, enroll, match_of

torch.set_num_threads(1)
FAR = 0.1
SHAPE = (3, 4, 4)
VALUES = math.prod(SHAPE)
PEOPLE, PHOTOS = 8, 6
CALIBRATING = 4


class Embedder(nn.Module):
    """Embeddings W x: what an attack can reach is known."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


class Noisy(nn.Module):
    """Embeddings with noise of each sample's own look."""

    random = True

    def __init__(self, weight, sigma=0.05):
        super().__init__()
        self.inner, self.sigma = Embedder(weight), sigma

    def forward(self, x, draws):
        clean = self.inner(x)
        return clean + draws.normal("embedding", clean, 1, self.sigma)[:, 0]


def isometry():
    """A W that keeps all distances."""
    return torch.linalg.qr(numbers(VALUES, VALUES, seed=4))[0]


def gallery():
    """Photos of people that scatter a little about each person's own: x [P, 3, 4, 4], ids and people."""
    means = 0.5 + 0.12 * numbers(PEOPLE, 1, *SHAPE, seed=1)
    x = (means + 0.03 * numbers(PEOPLE, PHOTOS, *SHAPE, seed=2)).flatten(0, 1).clamp(0.05, 0.95)
    return (
        x,
        [f"p{i}/{j}" for i in range(PEOPLE) for j in range(PHOTOS)],
        [i for i in range(PEOPLE) for _ in range(PHOTOS)],
    )


def enrolled_by(model, similarity, numbers=None, micro_batch=None):
    x, ids, people = gallery()
    return enroll(model, x, ids, [p < CALIBRATING for p in people], people, similarity, micro_batch, numbers)


def trials(known=2, judged=3):
    """A trial of every photo of the people who do not calibrate, against the next of them."""
    x, ids, people = gallery()
    where = [i for i, person in enumerate(people) if person >= CALIBRATING]
    others = []
    for i in where:
        target = CALIBRATING + (people[i] + 1 - CALIBRATING) % (PEOPLE - CALIBRATING)
        theirs = [ids[j] for j in range(len(ids)) if people[j] == target]
        own = [ids[j] for j in range(len(ids)) if people[j] == people[i] and j != i]
        others.append((theirs[:known], theirs[known : known + judged], own[:known], own[known : known + judged]))
    labels = torch.tensor([people[i] for i in where])
    references = References(*(list(column) for column in zip(*others, strict=True)))
    return Batch([ids[i] for i in where], x[where], labels, PEOPLE, references)


def attack_of(name, norm="linf", eps=0.03, goal="impersonate", photos=1, combine="mean", **params):
    component = find("attack", name)
    spec = AttackSpec(component, parse(component, params), norm, eps, goal=goal, photos=photos, combine=combine)
    return replace(spec, access=component.access)


def run(model, batch, attack, similarity="cosine", *, micro_batch=None, judging=None):
    """Craft and judge as a host does."""
    judging = judging or Judging(far=FAR)
    enrolled = enrolled_by(model, similarity, Randomness(0, "defense", gallery()[1]))
    access = attack.component.access
    made = craft(
        model, batch, attack.as_crafted, 0, access=access, micro_batch=micro_batch, judging=judging, enrolled=enrolled
    )
    clean = run_model(model, batch.x, PEOPLE, micro_batch, judging.draws, numbers=numbers_of(batch, 0))
    match = match_of(attack, batch.references, enrolled, judging.far)
    verdicts = score(
        model, batch, attack, 0, made.x_adv, made.failures, clean, micro_batch, broken_at=judging.broken_at, match=match
    )
    return made, verdicts, match


# Scores in closed form


def match(known, judged=None, *, threshold=0.25, similarity="cosine", combine="mean", hides=False):
    known = torch.tensor(known)
    judged = known if judged is None else torch.tensor(judged)
    names = [[f"{kind}{i}" for i in range(some.shape[1])] for kind, some in (("k", known), ("j", judged))]
    ids = ([name] * len(known) for name in names)
    known_ids, judged_ids = ids
    return Match(known, judged, judged_ids, known_ids, threshold, similarity, combine, hides)


KNOWN = [[[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]]
"""Cosines with (1, 0): 1, 0 and 0.6; distances 0, sqrt(5) and sqrt(20)."""
LEADS = {"cosine": np.array([1, 0, 0.6]) - 0.25, "l2": -np.array([0, 5**0.5, 20**0.5]) + 2.0}
THRESHOLD = {"cosine": 0.25, "l2": -2.0}


def weighted(leads):
    weights = np.exp(-SHARPNESS * (leads - leads.min()))
    return (weights * leads).sum() / weights.sum()


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("similarity", ["cosine", "l2"])
@pytest.mark.parametrize(
    ("combine", "combined"),
    [("mean", np.mean), ("worst", np.min), ("weighted", weighted)],
)
def test_scores_of_known_photos_in_closed_form(similarity, combine, combined, hides):
    """An attacker who hides takes the photo that he is still most similar to for the worst."""
    leads = LEADS[similarity]
    lead = -combined(-leads) if hides else combined(leads)
    made = match(KNOWN, threshold=THRESHOLD[similarity], similarity=similarity, combine=combine, hides=hides)
    scores = made(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert scores[0].tolist() == pytest.approx([-lead, lead], abs=1e-6)
    # The length of an embedding is nothing to a cosine.
    longer = made(torch.tensor([[7.0, 0.0]]), torch.tensor([0]))
    assert torch.allclose(longer, scores) is (similarity == "cosine")


def test_each_sample_is_compared_with_its_own_photos_in_whatever_order_they_are_asked_about():
    known = numbers(4, 2, 3, seed=9)
    made = match(known.tolist())
    x = numbers(5, 3, seed=10)
    index = torch.tensor([3, 0, 0, 2, 1])
    together = made(x, index)
    for row, (embedding, i) in enumerate(zip(x, index, strict=True)):
        alone = match(known[i : i + 1].tolist())(embedding[None], torch.tensor([0]))
        assert torch.allclose(together[row], alone[0], atol=1e-6)


@pytest.mark.parametrize(("hides", "goal", "label"), [(False, "impersonate", NO_MATCH), (True, "dodge", MATCH)])
def test_losses_fall_towards_the_goal_and_margins_end_at_the_threshold(hides, goal, label):
    made = match([[[1.0, 0.0]]], threshold=0.5, hides=hides)
    aim = make_goal(goal, torch.tensor([7]), 40)
    assert aim.labels.tolist() == [label]
    cosines = torch.linspace(-0.95, 0.95, 20)
    x = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)
    scores = made(x, torch.zeros(20, dtype=torch.long))
    many = make_goal(goal, torch.full((20,), 7), 40)
    for kind in ("ce", "margin", "dlr"):
        steps = many.loss(scores, kind).diff()
        assert bool((steps > 0).all() if hides else (steps < 0).all())
    assert torch.equal(many.success(scores), cosines < 0.5 if hides else cosines > 0.5)
    gap = 2 * (cosines - 0.5)
    assert torch.allclose(many.margin(scores), gap if hides else -gap, atol=1e-6)


# Judging


def test_judged_draws_go_look_by_look_and_in_each_photo_by_photo():
    judged = numbers(3, 4, 5, seed=1)
    each = numbers(2, 3, 5, seed=2)
    made = match(numbers(3, 1, 5).tolist(), judged.tolist())
    found = made.judged_by(Outputs(each.mean(0), each=each))
    assert found.draws == 8 and found.each.shape == (8, 3, 2)
    for look in range(2):
        for photo in range(4):
            for sample in range(3):
                a, b = each[look, sample], judged[sample, photo]
                lead = float(a @ b / (a.norm() * b.norm())) - 0.25
                assert found.each[look * 4 + photo, sample].tolist() == pytest.approx([-lead, lead], abs=1e-6)
    assert torch.allclose(found.logits, found.each.mean(0))


def test_one_photo_and_one_look_make_one_draw():
    made = match(KNOWN, [[[0.0, 1.0]]])
    found = made.judged_by(Outputs(torch.tensor([[1.0, 0.0]])))
    assert found.each is None and found.draws == 1 and found.logits[0].tolist() == [0.25, -0.25]


def test_a_sample_on_which_the_model_failed_is_unknown_and_the_others_are_not():
    outputs = Outputs(torch.tensor([[float("nan")] * 2, [1.0, 0.0]]), {0: "it raised"})
    made = match(KNOWN * 2)
    found = made.judged_by(outputs)
    assert found.why(0) == "it raised" and found.why(1) is None
    nothing = made.judged_by(Outputs(torch.full((2, 40), float("nan")), {0: "it raised", 1: "again"}))
    assert [nothing.why(i) for i in range(2)] == ["it raised", "again"]  # embeddings as wide as nobody knows


@pytest.mark.parametrize(("draws", "broken_at", "needed"), [(1, 1, 3), (4, 3, 11), (4, 4, 20), (4, 1, 5), (3, None, 8)])
def test_more_than_half_of_the_photos_decide_unless_the_job_says_another_share(draws, broken_at, needed):
    """Of five photos, as of five looks: one that passes for one of them only is not broken."""
    made = match(KNOWN, [[[1.0, 0.0]] * 5])
    enough = looks_needed(broken_at, draws, made.judged_by(Outputs(torch.zeros(1, 2))).draws * draws)
    looks = Outputs(torch.zeros(1, 2), each=torch.zeros(5 * draws, 1, 2))
    for fooled in range(5 * draws + 1):
        looks.each[:fooled, 0, 1] = 1.0
        assert bool(looks.often(lambda logits: logits.argmax(1) == MATCH, enough)[0]) is (fooled >= needed)


def test_a_trial_is_broken_by_more_than_half_of_the_photos_that_judge_and_by_no_single_one():
    """One person's photos point in five directions; an example that meets k of them is broken from three on."""
    model = Embedder(torch.eye(VALUES))
    axes = torch.eye(VALUES)[:5]
    for hits in range(6):
        x = torch.zeros(1, VALUES)
        x[0, 5] = 1.0
        x_adv = x.clone()
        x_adv[0, :hits] = 1.0
        made = replace(match([[[1.0] * VALUES]], [axes.tolist()], threshold=0.3))
        clean = run_model(model, x.view(1, *SHAPE), PEOPLE)
        batch = Batch(["a"], x.view(1, *SHAPE), torch.tensor([0]), PEOPLE)
        attack = attack_of("pgd", eps=1.0)
        (verdict,) = score(
            model, batch, attack, 0, x_adv.view(1, *SHAPE), {}, clean, broken_at=ONCE.broken_at, match=made
        )
        assert (verdict.draws, verdict.draws_fooled) == (5, hits)
        assert verdict.status == ("broken" if hits >= 3 else "robust"), hits
        assert verdict.success is (hits >= 3)


def test_what_is_told_of_photos_adds_up():
    batch = trials()
    model = Embedder(numbers(9, VALUES, seed=7))
    made, verdicts, compared = run(model, batch, attack_of("pgd", photos=2, eps=0.04, steps=10))
    embeddings, clean = model(made.x_adv).detach(), model(batch.x).detach()
    table = enrolled_by(model, "cosine")
    threshold = table.threshold(FAR)
    for i, verdict in enumerate(verdicts):
        known, judged = batch.references.target_known[i], batch.references.target_judged[i]
        assert [(look.photo, look.known) for look in verdict.looks] == [(p, False) for p in judged] + [
            (p, True) for p in known
        ]
        cosines = {
            photo: [
                float(torch.cosine_similarity(e[i], table.embeddings[table.rows[photo]], 0))
                for e in (embeddings, clean)
            ]
            for photo in (*known, *judged)
        }
        for look in verdict.looks:
            after, before = cosines[look.photo]
            assert look.similarity == pytest.approx(after, abs=1e-5)
            assert look.clean_similarity == pytest.approx(before, abs=1e-5)
            assert look.fooled is (look.similarity > threshold) is (look.prediction == MATCH)
            assert (look.clean_prediction == MATCH) is (look.clean_similarity > threshold)
        assert verdict.similarity == pytest.approx(np.mean([cosines[photo][0] for photo in judged]), abs=1e-5)
        assert verdict.clean_similarity == pytest.approx(np.mean([cosines[photo][1] for photo in judged]), abs=1e-5)
        assert (verdict.known_draws, verdict.draws) == (2, 3)
        assert verdict.known_fooled == sum(cosines[photo][0] > threshold for photo in known)
        assert verdict.draws_fooled == sum(cosines[photo][0] > threshold for photo in judged)
        assert verdict.margin == pytest.approx(2 * (threshold - verdict.similarity), abs=1e-5)
    assert compared.threshold == threshold
    assert {v.status for v in verdicts} > {"broken"} and sum(v.known_fooled for v in verdicts) > 0


def test_a_trial_without_a_verdict_tells_of_no_photo():
    batch = trials()
    model = Embedder(numbers(9, VALUES, seed=7))
    attack = attack_of("pgd", eps=0.02, steps=2)
    clean = run_model(model, batch.x, PEOPLE)
    compared = match_of(attack, batch.references, enrolled_by(model, "cosine"), FAR)
    x_adv = batch.x.clone()
    x_adv[0] += 0.1
    verdicts = score(model, batch, attack, 0, x_adv, {1: "it raised"}, clean, match=compared)
    assert [v.status for v in verdicts[:2]] == ["invalid", "error"]
    for verdict in verdicts[:2]:
        assert verdict.looks == () and verdict.similarity is verdict.known_draws is verdict.prediction is None
    assert all(v.looks for v in verdicts[2:])


# Enrollment


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_enrollment_keeps_embeddings_and_pairs_of_two_calibration_people(similarity):
    model = Embedder(numbers(9, VALUES, seed=7))
    found = enrolled_by(model, similarity)
    x, ids, people = gallery()
    assert torch.allclose(found.embeddings, model(x), atol=1e-6) and found.ids == tuple(ids)
    pairs = [
        float(torch.cosine_similarity(a, b, 0) if similarity == "cosine" else -(a - b).norm())
        for i, a in enumerate(model(x[: CALIBRATING * PHOTOS]))
        for j, b in enumerate(model(x[: CALIBRATING * PHOTOS]))
        if i < j and people[i] != people[j]
    ]
    assert sorted(found.impostors.tolist()) == pytest.approx(sorted(pairs), abs=1e-5)
    assert len(pairs) == 6 * PHOTOS**2
    assert found.threshold(FAR) == threshold_at(found.impostors.numpy(), FAR)
    assert (found.impostors.numpy() >= found.threshold(FAR)).sum() == int(FAR * len(pairs))


def test_the_people_who_are_attacked_have_no_say_in_the_threshold():
    model = Embedder(numbers(9, VALUES, seed=7))
    x, ids, people = gallery()
    marks = [p < CALIBRATING for p in people]
    other = x.clone()
    other[CALIBRATING * PHOTOS :] = pixels(*other[CALIBRATING * PHOTOS :].shape, seed=33)
    one, two = (enroll(model, some, ids, marks, people, "cosine").threshold(FAR) for some in (x, other))
    assert one == two


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_what_is_enrolled_reads_back_as_it_was(similarity):
    found = enrolled_by(Embedder(numbers(9, VALUES, seed=7)), similarity)
    found = replace(found, ids=("a\nb", "ä/1.png", *found.ids[2:]))  # names of files may have any letters
    again = Enrolled.read(found.tensors())
    assert (again.ids, again.similarity) == (found.ids, similarity)
    assert torch.equal(again.embeddings, found.embeddings) and torch.equal(again.impostors, found.impostors)
    photos = [["a\nb", found.ids[5]], [found.ids[7], found.ids[5]]]
    assert torch.equal(again.of(photos), found.embeddings[torch.tensor([[0, 5], [7, 5]])])


class Failing(Embedder):
    """Raises on some photos, or gives NaN."""

    def __init__(self, weight, fails, raises):
        super().__init__(weight)
        self.fails, self.raises = fails, raises

    def forward(self, x):
        bad = torch.stack([(x == one).flatten(1).all(1) for one in self.fails]).any(0)
        if self.raises and bool(bad.any()):
            raise RuntimeError("no face found")
        return super().forward(x).masked_fill(bad[:, None], float("nan"))


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("number", [1, PEOPLE * PHOTOS])
def test_a_photo_that_cannot_be_embedded_is_named(raises, number):
    """A row of no columns, of a victim that fails on all of them, would count as finite."""
    x, ids, people = gallery()
    model = Failing(numbers(9, VALUES, seed=7), x[-number:], raises)
    why = "no face found" if raises else "the victim's outputs are not finite"
    with pytest.raises(
        ValueError, match=f'(?s)fails on {number} of {len(ids)} clean photos; on "{ids[-number]}": .*{why}'
    ):
        enroll(model, x, ids, [p < CALIBRATING for p in people], people, "cosine", 5)


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_all_pairs_are_those_of_the_upper_triangle(similarity):
    embeddings = numbers(5, 3, seed=2)
    pairs = all_pairs(embeddings, [8, 8, 2, 5, 2], similarity)
    assert pairs.people.tolist() == [2, 2, 0, 1, 0] and pairs.genuine.sum() == 2
    at = 0
    for i in range(5):
        for j in range(i + 1, 5):
            a, b = embeddings[i], embeddings[j]
            want = torch.cosine_similarity(a, b, 0) if similarity == "cosine" else -(a - b).norm()
            assert pairs.similarity[at] == pytest.approx(float(want), abs=1e-6)
            at += 1


# Random victims


def test_a_random_victim_enrolls_each_photo_by_numbers_of_its_own():
    model, (x, ids, people) = Noisy(numbers(9, VALUES, seed=7)), gallery()
    marks = [p < CALIBRATING for p in people]
    whole = enroll(model, x, ids, marks, people, "cosine", None, Randomness(0, "defense", ids))
    parts = enroll(model, x, ids, marks, people, "cosine", 5, Randomness(0, "defense", ids))
    assert torch.allclose(whole.embeddings, parts.embeddings, atol=1e-6)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).tolist()
    names = [ids[i] for i in order]
    mixed = enroll(
        model,
        x[order],
        names,
        [marks[i] for i in order],
        [people[i] for i in order],
        "cosine",
        None,
        Randomness(0, "defense", names),
    )
    assert torch.allclose(whole.embeddings[order], mixed.embeddings, atol=1e-6)
    noise = (whole.embeddings - model.inner(x)).detach()
    assert float(noise.std()) == pytest.approx(model.sigma, rel=0.2) and len(
        {tuple(row) for row in noise.tolist()}
    ) == len(ids)


def test_a_random_victim_is_judged_by_every_photo_at_every_draw():
    batch, model = trials(), Noisy(numbers(9, VALUES, seed=7))
    made, verdicts, compared = run(model, batch, attack_of("pgd", steps=3), judging=Judging(4, 3, far=FAR))
    assert {(v.draws, v.known_draws, len(v.looks)) for v in verdicts} == {(12, 4, 16)}
    drawn = run_model(model, made.x_adv, PEOPLE, None, 4, numbers=numbers_of(batch, 0)).each
    for i, verdict in enumerate(verdicts):
        judged = [look for look in verdict.looks if not look.known]
        assert [look.photo for look in judged] == list(batch.references.target_judged[i]) * 4
        want = torch.cosine_similarity(drawn[:, i, None], compared.judged[i][None], -1).flatten()
        assert [look.similarity for look in judged] == pytest.approx(want.tolist(), abs=1e-5)
        assert (verdict.status == "broken") is (
            sum(look.fooled for look in judged) >= 7 and verdict.status != "clean_wrong"
        )


# Attacks on a linear embedder


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
    if not attack.component.minimal_norm:
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
