"""What makes decisions of embeddings, how they are judged, and that attacks find the best there is on a linear embedder."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_faces import (
    CALIBRATING,
    FAR,
    PEOPLE,
    PHOTOS,
    SHAPE,
    VALUES,
    Embedder,
    Noisy,
    attack_of,
    enrolled_by,
    gallery,
    run,
    trials,
)
from models import numbers, pixels

from raygrid.batch import Batch, numbers_of
from raygrid.enrollment import MATCH, NO_MATCH
from raygrid.goals import make_goal
from raygrid.kernel import score
from raygrid.metrics.verification import Pairs, threshold_at
from raygrid.outputs import Outputs, looks_needed, run_model
from raygrid.randomness import Randomness
from raygrid.spec import ONCE, Judging
from raygrid.verification import SHARPNESS, Enrolled, Match, all_pairs, enroll, match_of

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


@pytest.mark.parametrize(("hides", "goal"), [(False, "impersonate"), (True, "dodge")])
def test_a_similarity_that_is_the_threshold_matches_as_it_does_where_rates_are_counted(hides, goal):
    """Here, while attacking, and when judged; and one step of float32 below it does not."""
    x = torch.tensor([[0.5, 0.0]])
    for step, matches in ((0.0, True), (-1.0, True), (1.0, False)):
        threshold = float(np.nextafter(np.float32(-0.5), np.float32(np.inf * step)) if step else np.float32(-0.5))
        made = match([[[0.0, 0.0]]], threshold=threshold, similarity="l2", hides=hides)
        aim = make_goal(goal, torch.tensor([0]), 2)
        for scores in (made(x, torch.tensor([0])), made.judged_by(Outputs(x)).logits):
            assert bool(scores.argmax(1)[0] == MATCH) is matches
            assert bool(aim.success(scores)[0]) is (matches is not hides)
        counted = Pairs(np.array([-0.5, -9.0, -9.0], dtype=np.float32), np.array([0, 1, 1])).far(threshold)
        assert counted.num == int(matches)


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
