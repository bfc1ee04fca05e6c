"""Linear face embedders, photos of people for them, and trials as a host crafts and judges them."""

import math
from dataclasses import replace

import torch
from models import numbers
from torch import nn

from raygrid.batch import Batch, numbers_of
from raygrid.kernel import craft, score
from raygrid.outputs import run_model
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, Judging
from raygrid.verification import References, enroll, match_of

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
    starts = x[torch.tensor([[ids.index(photo) for photo in photos] for photos in references.target_known])]
    return Batch([ids[i] for i in where], x[where], labels, PEOPLE, references, starts=starts)


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
