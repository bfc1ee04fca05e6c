"""Embedders that answer together: by the mean of their cosines, or with a match that takes all of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from raygrid.batch import Batch
from raygrid.enrollment import MATCH
from raygrid.kernel import craft, score
from raygrid.outputs import run_model
from raygrid.registry import find, parse
from raygrid.similarity import Part, Weakest, among, by_of, compare, cosine, nearness
from raygrid.spec import AttackSpec, Judging
from raygrid.verification import Enrolled, References, enroll, match_of
from raygrid.victims.ensemble_model import SideBySide
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

SHAPE = (3, 4, 4)
WIDTHS = (5, 7)
KINDS = ("cosine", "l2")
PEOPLE = [person for person in range(8) for _ in range(4)]
IDS = [f"p{person}/{photo}" for person in range(8) for photo in range(4)]
CALIBRATION = [person < 4 for person in PEOPLE]
FAR = 0.1


def embedder(number):
    info = VictimInfo(f"e{number}", "e", WIDTHS[number], SHAPE, (0.5,) * 3, (1.0,) * 3, "", task="verification")
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, WIDTHS[number], bias=False))
    model[1].weight.data = torch.randn(WIDTHS[number], 48, generator=torch.Generator().manual_seed(number))
    return Victim(model, replace(info, similarity=KINDS[number]))


def both(rule):
    members = [embedder(0), embedder(1)]
    info = VictimInfo("both", "b", 12, SHAPE, (0.0,) * 3, (1.0,) * 3, "", task="verification")
    info = replace(
        info, similarity="weakest" if rule == "all" else "cosine", members=tuple(member.info for member in members)
    )
    return Victim(SideBySide(members, equal=rule == "mean"), info)


def photos():
    """Four of each of eight people, who differ more than their photos do."""
    numbers = torch.Generator().manual_seed(11)
    faces = torch.rand(8, 1, *SHAPE, generator=numbers)
    noise = torch.rand(8, 4, *SHAPE, generator=numbers)
    return (0.85 * faces + 0.15 * noise).flatten(0, 1)


@pytest.fixture(scope="module")
def enrolled():
    victim = both("all")
    return enroll(victim, photos(), IDS, CALIBRATION, PEOPLE, by_of(victim.info))


def test_the_cosine_of_embeddings_side_by_side_is_the_mean_of_the_members():
    x = photos()
    whole, members = both("mean"), [embedder(0), embedder(1)]
    assert whole(x).shape == (32, 12)
    cosines = [cosine(member(x[:3]), member(x[3:9])) for member in members]
    assert torch.allclose(cosine(whole(x[:3]), whole(x[3:9])), sum(cosines) / 2, atol=1e-6)


def test_a_table_of_pairs_says_what_each_pair_does(enrolled):
    for by, vectors in (
        (enrolled.similarity, enrolled.embeddings),
        ("cosine", enrolled.embeddings[:, :5]),
        ("l2", enrolled.embeddings[:, 5:]),
    ):
        apart = ~torch.eye(len(vectors), dtype=torch.bool)
        wanted = torch.stack([compare(by, vector, vectors) for vector in vectors])
        assert torch.allclose(among(by, vectors)[apart], wanted[apart], atol=1e-5)


def test_the_weakest_matches_exactly_where_every_embedder_does(enrolled):
    by, threshold, vectors = enrolled.similarity, enrolled.threshold(FAR), enrolled.embeddings
    whole = compare(by, vectors[:16], vectors[16:]) >= threshold
    own = [
        similarity(part[:16], part[16:]) >= place.center + threshold * place.spread
        for similarity, part, place in zip((cosine, nearness), by.split(vectors), by.parts, strict=True)
    ]
    assert torch.equal(whole, own[0] & own[1])
    assert not torch.equal(own[0], own[1]) and whole.any() and not whole.all()


def test_scales_are_those_of_impostors_set_apart(enrolled):
    own = [i for i, apart in enumerate(CALIBRATION) if apart]
    who = torch.tensor([PEOPLE[i] for i in own])
    different = (who[:, None] != who[None]) & torch.ones(len(own), len(own), dtype=torch.bool).triu(1)
    for part, vectors in zip(
        enrolled.similarity.parts, enrolled.similarity.split(enrolled.embeddings[own]), strict=True
    ):
        scaled = (among(part.similarity, vectors)[different] - part.center) / part.spread
        assert scaled.mean().item() == pytest.approx(0, abs=1e-4)
        assert scaled.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_the_false_accept_rate_is_that_of_the_whole(enrolled):
    threshold = enrolled.threshold(FAR)
    assert len(enrolled.impostors) == 6 * 16
    assert 0 < (enrolled.impostors >= threshold).float().mean() <= FAR
    own = [i for i, apart in enumerate(CALIBRATION) if apart]
    scaled = [
        (among(part.similarity, vectors) - part.center) / part.spread
        for part, vectors in zip(
            enrolled.similarity.parts, enrolled.similarity.split(enrolled.embeddings[own]), strict=True
        )
    ]
    accepted = sum(((s >= threshold).sum() for s in scaled), torch.tensor(0))
    assert accepted > 2 * (torch.stack(scaled).amin(0) >= threshold).sum()


@pytest.mark.parametrize("wrong", ["nobody else", "always the same"])
def test_an_embedder_that_gives_no_scale_is_refused(wrong):
    by = Weakest((Part(2, "cosine"), Part(1, "l2")))
    vectors = torch.rand(4, 3, generator=torch.Generator().manual_seed(1))
    people = [0, 0, 1, 1]
    if wrong == "nobody else":
        people = [0] * 4
    else:
        vectors[:, 2] = 0.5
    number = 1 if wrong == "nobody else" else 2
    with pytest.raises(ValueError, match=f"embedder {number} of 2 finds all pairs of people equally alike"):
        by.standardized(vectors, people)


@pytest.mark.parametrize("rule", ["mean", "all"])
def test_what_was_enrolled_is_read_back_from_a_file(rule):
    victim = both(rule)
    made = enroll(victim, photos(), IDS, CALIBRATION, PEOPLE, by_of(victim.info))
    again = Enrolled.read(load(save(made.tensors())))
    assert (again.similarity, again.ids) == (made.similarity, made.ids)
    assert torch.equal(again.embeddings, made.embeddings) and torch.equal(again.impostors, made.impostors)
    assert isinstance(again.similarity, Weakest) is (rule == "all")


def attack(**words):
    pgd = find("attack", "pgd")
    return AttackSpec(pgd, parse(pgd, {"steps": 30}), "linf", 0.3, goal="impersonate", **words)


def trials():
    """The first photo of each of four people, as the next one: two photos of whom are known, and two judge."""
    own = [16 + 4 * i for i in range(4)]
    targets = [4 + (i + 1) % 4 for i in range(4)]
    known, judged = ([[f"p{target}/{n}" for n in some] for target in targets] for some in ((0, 1), (2, 3)))
    nobody = [[]] * 4
    return Batch(
        [IDS[i] for i in own],
        photos()[own],
        torch.zeros(4, dtype=torch.long),
        2,
        References(known, judged, nobody, nobody),
    )


@pytest.mark.parametrize("rule", ["mean", "all"])
def test_attacks_and_judges_need_not_know_how_many_embedders_there_are(rule):
    victim, batch, spec = both(rule), trials(), attack(photos=2)
    enrolled = enroll(victim, photos(), IDS, CALIBRATION, PEOPLE, by_of(victim.info))
    made = craft(victim, batch, spec, 0, access="gradient", judging=Judging(far=FAR), enrolled=enrolled)
    match = match_of(spec, batch.references, enrolled, FAR)
    verdicts = score(victim, batch, spec, 0, made.x_adv, made.failures, run_model(victim, batch.x, 2), match=match)
    assert {verdict.status for verdict in verdicts} == {"broken"}
    assert all(verdict.clean_similarity < match.threshold <= verdict.similarity for verdict in verdicts)
    # By hand: every member says so of every photo that judges.
    outputs = victim(made.x_adv)
    for i in range(4):
        judged = torch.stack([enrolled.embeddings[IDS.index(photo)] for photo in batch.references.target_judged[i]])
        assert (compare(enrolled.similarity, outputs[i], judged) >= match.threshold).all()


def test_the_gradient_of_a_match_is_that_of_the_member_that_finds_it_least(enrolled):
    victim, batch = both("all"), trials()
    match = match_of(attack(), batch.references, enrolled, FAR)
    x = batch.x.clone().requires_grad_()
    outputs = victim(x)
    outputs.retain_grad()
    match(outputs, torch.arange(4))[:, MATCH].sum().backward()
    parts = enrolled.similarity.parts
    similarities = torch.stack(
        [
            (similarity(own, known)[:, 0] - part.center) / part.spread
            for similarity, part, own, known in zip(
                (cosine, nearness),
                parts,
                enrolled.similarity.split(outputs.detach()),
                enrolled.similarity.split(match.known),
                strict=True,
            )
        ]
    )
    moved = torch.stack([g.abs().sum(1) > 0 for g in enrolled.similarity.split(outputs.grad)])
    assert torch.equal(moved, torch.arange(2)[:, None] == similarities.argmin(0))
    assert bool((x.grad.flatten(1).norm(dim=1) > 0).all())


def test_several_that_must_agree_are_made_of_embedders_alone():
    alone = VictimInfo("a", "a", 2, SHAPE, (), (), "", task="verification", similarity="weakest")
    with pytest.raises(ValueError, match='"a" is several embedders itself'):
        by_of(SimpleNamespace(similarity="weakest", members=(alone,)))
