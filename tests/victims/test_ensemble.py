"""Victims that answer together: what they say, what they are, and what does not go together."""

import json
import math
import pickle
import re
from dataclasses import replace

import pytest
import torch
from bringing import pixels
from models import digits, victim
from torch import nn

from raygrid.component import resolve
from raygrid.ensemble import ensemble
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.spec import VictimSpec
from raygrid.victims.catalog_builtin import INFOS
from raygrid.victims.check import check_victim
from raygrid.victims.ensemble_model import Together
from raygrid.victims.info import VictimInfo
from raygrid.victims.instability import layer_distances
from raygrid.victims.victim import Victim

MNIST = ("mnist-cnn", "mnist-cnn-adv", "mnist-cnn-distilled")
CODE = """
import numpy as np
from torch import nn

def scores(x):
    return np.stack([x.reshape(len(x), -1)[:, i : i + 1].sum(1) for i in range(10)], 1)

def labels(x):
    return scores(x).argmax(1)

def probabilities():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(1))

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))

def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""
BOX = {"input": [1, 28, 28], "classes": 10, "trust": True}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def spec(use, name=None, **words):
    component = find("victim", use)
    return VictimSpec(name or use, component, parse(component, words))


def info_of(*specs, name=None):
    whole = ensemble(specs, name)
    return resolve(whole.component.identify)(whole.params, whole.id)


def built(*specs):
    whole = ensemble(specs)
    return resolve(whole.component.build)(whole.params, info_of(*specs))


def small(seed, access="gradient", mean=0.0, std=1.0):
    """A victim of three classes on [1, 3, 3], which has a normalization of its own."""
    info = VictimInfo(f"small-{seed}", "small.test", 3, (1, 3, 3), (mean,), (std,), "", access=access)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    model[1].weight.data, model[1].bias.data = pixels(3, 9, seed=seed) - 0.5, pixels(3, seed=seed + 1)
    return Victim(model, info)


def together(*members):
    info = replace(members[0].info, id="both", mean=(0.0,), std=(1.0,), members=tuple(m.info for m in members))
    return Victim(Together(list(members)), info)


@pytest.mark.parametrize("names", [MNIST[:2], MNIST])
def test_it_answers_by_the_mean_of_its_members_probabilities(names):
    x, _ = digits(20)
    whole = built(*map(spec, names))
    mean = torch.stack([victim(name)(x).double().softmax(1) for name in names]).mean(0)
    assert torch.allclose(whole(x).exp().double(), mean, rtol=1e-4, atol=1e-7)
    assert torch.allclose(whole(x).double(), mean.clamp_min(1e-300).log(), rtol=1e-4, atol=1e-5)


def test_each_member_has_its_own_normalization_inside():
    x = pixels(5, 1, 3, 3)
    members = small(1), small(2, mean=0.3, std=0.1)
    mean = sum(member(x).softmax(1) for member in members) / 2
    assert torch.allclose(together(*members)(x).exp(), mean, atol=1e-6)
    plain = [member.model(x).softmax(1) for member in members]
    assert not torch.allclose(sum(plain) / 2, mean, atol=1e-2)


def test_one_member_decides_as_it_does_alone():
    x, _ = digits(20)
    bare = victim("mnist-cnn")
    alone = Victim(Together([bare]), bare.info)
    assert torch.equal(alone(x).argmax(1), bare(x).argmax(1))
    assert torch.allclose(alone(x), bare(x).log_softmax(1), atol=1e-6)
    assert torch.allclose(alone(x).exp().sum(1), torch.ones(20), atol=1e-5)


def test_gradients_flow_to_all_members():
    """That of log (1/n sum p_i) is the mean of the members', each weighted by its share of the probability."""
    members = small(1), small(2, mean=0.3, std=0.1), small(3)
    x, label = pixels(4, 1, 3, 3).requires_grad_(), 1
    (whole,) = torch.autograd.grad(together(*members)(x)[:, label].sum(), x)
    parts = []
    for member in members:
        log_p = member(x).log_softmax(1)[:, label]
        (own,) = torch.autograd.grad(log_p.sum(), x)
        assert own.flatten(1).norm(dim=1).min() > 0
        parts.append((log_p.detach().exp(), own))
    total = sum(p for p, _ in parts)
    wanted = sum((p / total)[:, None, None, None] * own for p, own in parts)
    assert torch.allclose(whole, wanted, atol=1e-5)


def test_sure_members_stay_finite_and_keep_their_gradient():
    x = pixels(4, 1, 3, 3).requires_grad_()
    sure = small(1)
    sure.model[1].weight.data *= 1e5
    outputs = together(sure, small(1))(x)
    assert bool(torch.isfinite(outputs).all())
    both = together(sure, sure)(x)
    (gradient,) = torch.autograd.grad((both.amax(1) - both.mean(1)).sum(), x)
    assert bool((gradient.flatten(1).norm(dim=1) > 1).all())


def test_members_that_tell_their_decisions_alone_are_sure_of_them():
    def one_hot(member):
        class Told(nn.Module):
            def forward(self, x):
                return nn.functional.one_hot(member(x).argmax(1), 3).float()

        return Victim(Told(), replace(member.info, access="decision"))

    x = pixels(30, 1, 3, 3)
    members = small(1), small(2), small(3)
    votes = sum(one_hot(member)(x) for member in members) / 3
    found = together(*map(one_hot, members))(x)
    assert torch.allclose(found.exp(), votes, atol=1e-6)
    assert bool(torch.isfinite(found).all()) and len(set(votes.argmax(1).tolist())) > 1


def test_what_it_is_follows_from_what_its_members_are():
    info = info_of(spec("mnist-cnn"), spec("mnist-cnn-adv"))
    assert (info.id, info.classes, info.input_shape) == ("mnist-cnn+mnist-cnn-adv", 10, (1, 28, 28))
    assert (info.mean, info.std, info.access) == ((0.0,), (1.0,), "gradient")
    assert info.arch == "mnist-cnn.plain+mnist-cnn.adversarial"
    assert (info.license, info.source) == ("Apache-2.0", "raygrid/victims/train_mnist.py")
    assert info.members == (INFOS["mnist-cnn"], INFOS["mnist-cnn-adv"])
    assert info.weights == tuple(member.weights_sha256 for member in info.members)
    assert len(info.weights_sha256) == 64 and info.weights_sha256 not in info.weights
    assert json.loads(json.dumps(info.facts()))["members"][1]["weights_sha256"] == info.weights[1]


def test_facts_of_a_victim_alone_are_what_they_were():
    facts = INFOS["mnist-cnn"].facts()
    assert "members" not in facts and facts["weights_sha256"] == INFOS["mnist-cnn"].weights_sha256
    assert INFOS["mnist-cnn"].weights == (facts["weights_sha256"],)


def test_sizes_that_some_members_take_any_of_are_those_of_the_others(file):
    photo = {"target": f"{file}:small", "input": [3, 240, 240], "classes": 1000, "trust": True}
    info = info_of(spec("efficientnet-lite0"), spec("module", "mine", **photo), spec("efficientnet-lite1"))
    assert info.input_shape == (3, 240, 240)
    assert info.license == ASSETS["efficientnet-lite0"].license
    assert info_of(spec("efficientnet-lite0"), spec("efficientnet-lite1")).input_shape == (3, None, None)
    assert info.resize.startswith("efficientnet-lite0: bilinear") and "; efficientnet-lite1: " in info.resize


@pytest.mark.parametrize(
    ("returns", "name", "access"), [("scores", "scores", "score"), ("labels", "labels", "decision")]
)
def test_it_gives_no_more_than_the_least_of_its_members(file, returns, name, access):
    box = spec("callable", "box", target=f"{file}:{name}", returns=returns, **BOX)
    assert info_of(spec("mnist-cnn"), box).access == access
    x, labels = digits(8)
    assert check_victim(built(spec("mnist-cnn"), box), x, labels, 10) == []


MISFITS = [
    (
        [("mnist-cnn", {}), ("cifar10-cnn", {})],
        ["its members take different inputs: mnist-cnn 1x28x28, cifar10-cnn 3x32x32"],
    ),
    (
        [("efficientnet-lite0", {}), ("cifar10-cnn", {})],
        ["its members have different numbers of classes: efficientnet-lite0 1000, cifar10-cnn 10"],
    ),
    (
        [("mnist-cnn", {}), ("sign-cnn", {})],
        [
            "its members have different numbers of classes: mnist-cnn 10, sign-cnn 12",
            "its members take different inputs: mnist-cnn 1x28x28, sign-cnn 3x32x32",
        ],
    ),
    ([("hama", {}), ("hama", {})], ["its members write down what they hear, and texts have no mean"]),
    ([("yamnet", {}), ("yamnet", {})], ["some of its members hear, and ensembles are of victims that see"]),
]


@pytest.mark.parametrize(("members", "wrong"), MISFITS)
def test_members_that_do_not_go_together_are_told(members, wrong):
    with pytest.raises(UsageError) as told:
        info_of(*(spec(use, **words) for use, words in members), name="ours")
    assert list(told.value.messages) == [f'victim "ours": ensemble: {what}' for what in wrong]


def test_any_size_and_another_number_of_channels_do_not_go_together(file):
    gray = spec("module", "gray", target=f"{file}:small", **BOX | {"classes": 1000})
    with pytest.raises(UsageError, match="different inputs: efficientnet-lite0 3xanyxany, gray 1x28x28"):
        info_of(spec("efficientnet-lite0"), gray)


def test_code_of_a_member_needs_trust_of_its_own(file):
    words = BOX | {"target": f"{file}:small", "trust": False}
    with pytest.raises(UsageError, match=r'victim "mine": target: .* can\'t run code unless it says so'):
        info_of(spec("mnist-cnn"), spec("module", "mine", **words))


def test_whatever_changes_in_a_member_changes_what_it_is(file):
    words = BOX | {"target": f"{file}:small"}
    members = spec("mnist-cnn"), spec("module", "mine", **words)
    before = info_of(*members)
    assert info_of(*members) == before
    others = [
        info_of(members[1], members[0]),
        info_of(spec("mnist-cnn-adv"), members[1]),
        info_of(members[0], spec("module", "mine", **words, mean=[0.5])),
        info_of(*members, spec("mnist-cnn-adv")),
    ]
    file.write_text(CODE + "\n")
    others.append(info_of(*members))
    hashes = {info.weights_sha256 for info in (before, *others)}
    assert len(hashes) == 1 + len(others)


def test_code_that_changed_since_the_plan_is_refused(file):
    whole = ensemble([spec("mnist-cnn"), spec("module", "mine", **BOX | {"target": f"{file}:small"})])
    info = resolve(whole.component.identify)(whole.params, whole.id)
    file.write_text(CODE + "\n")
    with pytest.raises(UsageError, match=r'victim "mine": target: .* is not the code that the job was planned with'):
        resolve(whole.component.build)(whole.params, info)


def test_it_travels_to_other_processes():
    whole = ensemble([spec("mnist-cnn"), spec("mnist-cnn-adv", "mine")], "ours")
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole and again.params.members[1].build == "raygrid.victims.mnist_cnn:build"
    assert json.loads(whole.params.model_dump_json()) == {
        "members": [
            {"id": "mnist-cnn", "use": "mnist-cnn", "version": 1, "params": {}},
            {"id": "mine", "use": "mnist-cnn-adv", "version": 1, "params": {}},
        ]
    }


def test_it_has_no_layers_and_says_why():
    whole = built(spec("mnist-cnn"), spec("mnist-cnn-adv"))
    assert whole.layers.names == []
    why = 'victim "mnist-cnn+mnist-cnn-adv" can\'t be cut into layers, since it is an ensemble, and its members have layers'
    with pytest.raises(UsageError, match=re.escape(why)):
        whole.layers.place("relu1")
    noise = find("defense", "noise")
    for words in ({"site": "relu1"}, {"site": "all", "votes": 20, "abstain": 0.01}):
        with pytest.raises(UsageError, match=re.escape(why)):
            resolve(noise.build)(parse(noise, {"sigma": 0.1, **words}), whole)
    x, _ = digits(3)
    (first, *_) = layer_distances(whole, 1 - x, x)
    assert list(first) == ["input", "output"] and all(math.isfinite(value) for value in first.values())


def test_it_can_be_defended_as_any_victim():
    x, _ = digits(6)
    whole = built(spec("mnist-cnn"), spec("mnist-cnn-adv"))
    coarse = find("defense", "bit-depth")
    defended = resolve(coarse.build)(parse(coarse, {"bits": 1}), whole)
    assert torch.equal(defended(x), whole(x.round()))
    with pytest.raises(UsageError, match="it is an ensemble"):
        defended.layers.place("relu1")


NAMES = ("mnist-cnn", "mnist-cnn-adv")


def noisy(model, **words):
    noise = find("defense", "noise")
    return resolve(noise.build)(parse(noise, {"site": "convolutions", "kind": "dropout", "sigma": 0.2, **words}), model)


@pytest.mark.parametrize("site", ["convolutions", "all"])
def test_noise_in_all_layers_is_in_those_of_every_member_who_draw_for_themselves(site):
    x, _ = digits(6)
    numbers = Randomness(0, "defense", [str(i) for i in range(6)])
    draws = numbers.draws(torch.arange(6), ["judge/0"] * 6)
    whole = noisy(built(*map(spec, NAMES)), site=site)
    assert whole.random and torch.equal(whole(x, draws), whole(x, draws))
    behind = draws.behind(), draws.behind().behind()
    parts = [noisy(victim(name), site=site)(x, own).softmax(1) for name, own in zip(NAMES, behind, strict=True)]
    assert torch.allclose(whole(x, draws).exp(), sum(parts) / 2, atol=1e-6)
    assert torch.allclose(whole.soft(x, draws), whole(x, draws), atol=1e-6)
    alone = whole(x[2:3], numbers.draws(torch.tensor([2]), ["judge/0"]))
    assert torch.allclose(alone, whole(x, draws)[2:3], atol=1e-4)
    assert not torch.allclose(whole(x), whole(x, draws), atol=1e-3)


def test_no_noise_in_any_member_changes_nothing():
    x, _ = digits(4)
    whole = built(*map(spec, NAMES))
    quiet = noisy(whole, sigma=0.0)
    assert not quiet.random and torch.equal(quiet(x), whole(x)) and torch.equal(quiet.soft(x), whole(x))


def test_an_attacker_has_gradients_through_the_noise_in_every_member():
    x, _ = digits(3)
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(noisy(built(*map(spec, NAMES))).soft(x)[:, 1].sum(), x)
    assert bool((gradient.flatten(1).norm(dim=1) > 0).all())


def test_faults_of_members_are_told_though_the_whole_looks_sound(file):
    x, labels = digits(8)
    sound = spec("mnist-cnn")
    wrong = spec("module", "mine", target=f"{file}:probabilities", **BOX)
    whole = built(sound, wrong)
    (fault,) = check_victim(whole, x, labels, 10)
    assert fault.startswith('member "mine": output: the victim returns probabilities, whose gradient vanishes')
    (fault,) = check_victim(whole, x, labels, 10, may_be_masked=True)
    assert fault.startswith(
        'member "mine": output: the victim returns probabilities, and an ensemble would take a softmax'
    )
    few = spec("module", "mine", target=f"{file}:few", **BOX)
    assert check_victim(built(sound, few), x, labels, 10) == [
        'member "mine": classes: the victim returns 9 scores, not 10; say classes: 9'
    ]
    assert check_victim(built(sound, spec("module", target=f"{file}:small", **BOX)), x, labels, 10) == []


def test_members_that_are_sure_of_all_they_see_pass_for_what_they_are():
    """Log-probabilities of nearly 0 have no slope; those of the other classes have, and attacks go by them."""
    x, labels = digits(32)
    whole = built(spec("mnist-cnn-distilled"), spec("mnist-cnn-distilled"))
    assert all(check_victim(whole, x[i : i + 8], labels[i : i + 8], 10) == [] for i in range(0, 32, 8))


FACES = ("mobileface", "dlib-resnet")


@pytest.mark.parametrize(
    ("rule", "named", "similarity"), [("mean", "+", "cosine"), ("all", "&", "weakest")], ids=["mean", "all"]
)
def test_embedders_side_by_side_are_an_embedder(rule, named, similarity):
    whole = ensemble([spec(name) for name in FACES], rule=rule)
    info = resolve(whole.component.identify)(whole.params, whole.id)
    assert (info.task, info.classes, info.similarity) == ("verification", 256 + 128, similarity)
    assert info.id == named.join(FACES) and info.arch == f"mobileface.v1{named}dlib-resnet.v1"
    assert info.facts()["similarity"] == similarity and [m["id"] for m in info.facts()["members"]] == list(FACES)


def test_rules_tell_ensembles_of_one_name_apart():
    mean, every = (ensemble([spec(name) for name in FACES], "ours", rule) for rule in ("mean", "all"))
    assert mean.key != every.key
    assert pickle.loads(pickle.dumps(every)).params.rule == "all"


def test_members_that_do_different_things_are_told():
    with pytest.raises(UsageError) as told:
        info_of(spec("mobileface"), spec("efficientnet-lite0"), name="ours")
    assert list(told.value.messages) == [
        'victim "ours": ensemble: its members do different things: mobileface verification, efficientnet-lite0 classification'
    ]


def test_classes_have_no_match_that_all_could_find():
    whole = ensemble([spec("mnist-cnn"), spec("mnist-cnn-adv")], rule="all")
    with pytest.raises(UsageError, match='ensemble: rule "all" is for embedders, each of which finds a match or none'):
        resolve(whole.component.identify)(whole.params, whole.id)
