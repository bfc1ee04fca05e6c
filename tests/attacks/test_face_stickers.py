"""Stickers on faces: what they are allowed, whom they make somebody pass for, and what unseen views and photos say of that."""

import math
from functools import cache

import pytest
import torch
from models import Linear, numbers, pixels
from torch.nn.functional import avg_pool2d, cosine_similarity, interpolate

import raygrid
from raygrid.attacks.catalog_patch import FRAME, ON_FACES, Sticker
from raygrid.batch import Batch, channel_of, constraint_of
from raygrid.channels.catalog import VIEW, View
from raygrid.component import Params
from raygrid.data.face_parts import face_mask
from raygrid.errors import UsageError
from raygrid.kernel import craft, score
from raygrid.masks import sticker_mask
from raygrid.metrics.printing import non_printability, printable_colors, total_variation
from raygrid.outputs import run_model
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, ChannelSpec, Judging
from raygrid.verification import References, enroll, match_of

torch.set_num_threads(1)

PEOPLE, PHOTOS, KNOWN, JUDGED = 4, 6, 2, 3
VIEWS = ChannelSpec(VIEW, View(scale=0.03, rotation=2, shift=0.01))
EVERY = pytest.mark.parametrize("mask", ON_FACES)


class Embedder(torch.nn.Module):
    """Random projections of small frames, bent so that no gradient is the same everywhere."""

    def __init__(self):
        super().__init__()
        self.inner = Linear(numbers(24, 3 * 20 * 20, seed=5) / 10, torch.zeros(24))

    def forward(self, x):
        return torch.tanh(self.inner(avg_pool2d(x, 8) - 0.5))


@cache
def people():
    """Photos [24, 3, 160, 160] of people who are coarse patterns in color, each photo with finer ones of its own."""
    person = interpolate(pixels(PEOPLE, 3, 10, 10, seed=1), FRAME[1:], mode="bilinear").repeat_interleave(PHOTOS, 0)
    own = interpolate(pixels(PEOPLE * PHOTOS, 3, 20, 20, seed=2), FRAME[1:], mode="bilinear")
    x, ids = 0.7 * person + 0.3 * own, [f"p{i // PHOTOS}/{i % PHOTOS}" for i in range(PEOPLE * PHOTOS)]
    whose = [i // PHOTOS for i in range(len(ids))]
    return x, ids, enroll(Embedder(), x, ids, [True] * len(ids), whose, "cosine")


def trials():
    """The first photo of each person attacks the next one."""
    x, ids, _ = people()
    first = range(0, len(ids), PHOTOS)
    own = [ids[i + 1 : i + PHOTOS] for i in first]
    target = own[1:] + own[:1]
    lists = [[photos[part] for photos in some] for some in (target, own) for part in (slice(KNOWN), slice(KNOWN, None))]
    return Batch([ids[i] for i in first], x[first], torch.arange(PEOPLE), PEOPLE, References(*lists))


def spec(mask, goal="impersonate", channel=None, **params):
    component = find("attack", "sticker")
    parsed = parse(component, {"mask": mask, "steps": 20, **params})
    return AttackSpec(component, parsed, "", math.inf, goal=goal, photos=KNOWN, channel=channel)


def judged(attack, draws=1):
    """Craft, and judge by unseen photos through unseen views."""
    batch, enrolled, far = trials(), people()[2], 0.2
    judging = Judging(draws, draws // 2 + 1, far=far)
    made = craft(Embedder(), batch, attack, 0, access="gradient", judging=judging, enrolled=enrolled)
    clean = run_model(Embedder(), batch.x, 24, None, draws, channel_of(attack, batch, 0))
    match = match_of(attack, batch.references, enrolled, far)
    return made, score(Embedder(), batch, attack, 0, made.x_adv, made.failures, clean, match=match)


# What is allowed


@EVERY
def test_a_mask_on_faces_is_the_same_for_all_of_them(mask):
    found = sticker_mask(Sticker(mask=mask), ["a", "b", "c"], FRAME)
    assert found.shape == (3, 1, 160, 160)
    assert (found.numpy() == face_mask(mask)).all()


@EVERY
@pytest.mark.parametrize("shape", [(3, 112, 112), (1, 160, 160), (3, 160, 161)])
def test_a_mask_on_faces_asks_for_canonical_frames(mask, shape):
    attack = Sticker(mask=mask)
    assert f'mask "{mask}" lies on a face in its canonical frame of 3x160x160' in attack.misfit(shape)
    assert attack.misfit(FRAME) is None
    assert attack.only_on_faces() and not Sticker().only_on_faces() and not Params().only_on_faces()


def test_the_notebook_puts_glasses_on_frames_alone():
    x, model = trials().x, Embedder()
    labels = model(x).argmax(1)
    attacked = raygrid.attack(model, x, labels, "sticker", mask="glasses", steps=2)
    changed = (attacked.x_adv != x).any(1)
    assert changed.any() and not (changed & ~torch.from_numpy(face_mask("glasses"))).any()
    with pytest.raises(UsageError, match="canonical frame of 3x160x160, as orl-faces has them, and not on 3x159x160"):
        raygrid.attack(model, x[:, :, 1:], labels, "sticker", mask="glasses")


# What they do


@pytest.mark.parametrize("channel", [None, VIEWS], ids=["no channel", "view"])
@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
@EVERY
def test_a_sticker_moves_similarity_to_unseen_photos_and_no_pixel_outside_its_mask(mask, goal, channel):
    attack = spec(mask, goal, channel)
    made, verdicts = judged(attack, draws=2 if channel else 1)
    assert not made.failures
    outside = ~constraint_of(attack, trials()).mask.expand_as(made.x_adv)
    assert torch.equal(made.x_adv[outside], trials().x[outside])
    assert (made.x_adv >= 0).all() and (made.x_adv <= 1).all()
    sign = 1 if goal == "impersonate" else -1
    for verdict in verdicts:
        assert sign * (verdict.similarity - verdict.clean_similarity) > 0.1
        assert verdict.status in ("robust", "broken", "clean_wrong")


def test_each_view_is_compared_with_each_photo_and_enrolled_photos_are_not_seen_through_it():
    attack, views = spec("glasses", channel=VIEWS, steps=5), 3
    made, verdicts = judged(attack, draws=views)
    model, batch, (x, ids, _) = Embedder(), trials(), people()
    photos = dict(zip(ids, model(x), strict=True))
    channel, everyone = channel_of(attack, batch, 0), torch.arange(PEOPLE)
    seen = [[model(channel(z, everyone, f"judge/{d}")) for z in (batch.x, made.x_adv)] for d in range(views)]
    for i, verdict in enumerate(verdicts):
        known, unknown = ([look for look in verdict.looks if look.known is mark] for mark in (True, False))
        assert (verdict.draws, verdict.known_draws) == (len(unknown), len(known)) == (views * JUDGED, views * KNOWN)
        assert verdict.draws_fooled == sum(look.fooled for look in unknown)
        for looks, theirs in (
            (unknown, batch.references.target_judged[i]),
            (known, batch.references.target_known[i]),
        ):
            assert [look.photo for look in looks] == list(theirs) * views
            for number, look in enumerate(looks):
                here = torch.stack([embeddings[i] for embeddings in seen[number // len(theirs)]])
                before, after = cosine_similarity(here, photos[look.photo]).tolist()
                assert (look.clean_similarity, look.similarity) == pytest.approx((before, after), abs=1e-5)


def test_a_look_at_each_step_goes_through_a_view_that_no_other_look_has():
    attack = spec("forehead", channel=VIEWS, steps=7)
    seen = []

    class Watching(Embedder):
        def forward(self, x):
            seen.append(x.detach().clone())
            return super().forward(x)

    batch, enrolled = trials(), people()[2]
    judging = Judging(2, 2, far=0.2)
    made = craft(Watching(), batch, attack, 0, access="gradient", judging=judging, enrolled=enrolled)
    assert made.forwards == [8] * PEOPLE and made.backwards == [7] * PEOPLE
    corners = torch.stack([x[:, :, 80, :20].flatten(1) for x in seen[-8:]])  # no forehead reaches there
    assert len(torch.unique(corners[:, 0], dim=0)) == 8


@pytest.mark.parametrize(
    ("weight", "measure"),
    [
        ({"printability": 0.001}, lambda z, mask: non_printability(z, printable_colors(), mask)),
        ({"smoothness": 0.001}, total_variation),
    ],
    ids=["printability", "smoothness"],
)
def test_a_penalty_lowers_what_it_penalizes_and_faces_still_change_whom_they_are_like(weight, measure):
    """The loss is twice a difference of similarities, which lie in [-1, 1]."""
    plain, careful = (judged(spec("glasses", **params)) for params in ({}, weight))
    mask = sticker_mask(Sticker(mask="glasses"), trials().ids, FRAME)
    before, after = (measure(made.x_adv, mask).mean() for made, _ in (plain, careful))
    assert after < 0.8 * before
    for verdict in careful[1]:
        assert verdict.similarity > verdict.clean_similarity + 0.1
