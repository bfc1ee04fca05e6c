"""Defenses one after another: who meets the input first, what planning knows of them, and that no two draw the same numbers."""

import json
import pickle

import pytest
import torch
from defense_cases import ask, defended, draws
from models import digits, victim

from raygrid.chain import Chain, chain
from raygrid.component import resolve
from raygrid.registry import find, label, parse
from raygrid.spec import DefenseSpec

N = 6
IDS = [f"digit-{i}" for i in range(N)]


def spec(name, **params):
    component = find("defense", name)
    return DefenseSpec(component, parse(component, params))


def built(*specs):
    whole = chain(specs)
    return resolve(whole.component.build)(whole.params, victim("mnist-cnn"))


def test_the_first_named_meets_the_input_first():
    x, _ = digits(N)
    rounded_first = defended("bit-depth", defended("jpeg", quality=20), bits=1)
    filed_first = defended("jpeg", defended("bit-depth", bits=1), quality=20)
    assert torch.equal(built(spec("bit-depth", bits=1), spec("jpeg", quality=20))(x), rounded_first(x))
    assert torch.equal(built(spec("jpeg", quality=20), spec("bit-depth", bits=1))(x), filed_first(x))
    assert not torch.equal(rounded_first(x), filed_first(x))


def test_one_that_reaches_inside_stands_right_around_the_victim_wherever_it_is_named():
    x, _ = digits(N)
    inside, before = spec("noise", sigma=0.3, site="all"), spec("bit-depth", bits=1)
    wanted = defended("bit-depth", defended("noise", sigma=0.3, site="all"), bits=1)
    for whole in (built(inside, before), built(before, inside)):
        assert torch.equal(whole(x, draws(IDS)), wanted(x, draws(IDS)))
        assert torch.equal(whole.soft(x, draws(IDS)), wanted.soft(x, draws(IDS)))


def test_no_two_draw_the_same_numbers():
    """Twice the same noise would be one of twice the deviation."""
    x, _ = digits(N)
    seen = []

    def watch(module, arguments):
        seen.append(arguments[0].clone())

    bare = victim("mnist-cnn")
    hook = bare.register_forward_pre_hook(watch)
    try:
        ask(built(spec("noise", sigma=0.1), spec("noise", sigma=0.1)), x, draws(IDS))
    finally:
        hook.remove()
    assert (seen[0] - x).std() == pytest.approx(0.1 * 2**0.5, rel=0.05)


def test_planning_knows_of_all_of_them():
    whole = chain([spec("output-policy", label_only=True), spec("resize-pad"), spec("noise", sigma=0.0)])
    assert whole.component.name == "output-policy+resize-pad+noise"
    assert label(whole.component.name, whole.params) == "output-policy(label_only=True)+resize-pad+noise(sigma=0.0)"
    assert whole.params.draws_at_random() and whole.params.leaves("gradient") == "decision"
    assert not whole.params.detects() and not whole.params.reaches_inside()
    assert chain([spec("noise", sigma=1, site="all"), spec("jpeg")]).params.reaches_inside()
    assert chain([spec("feature-squeezing", threshold=1), spec("jpeg")]).params.detects()


def test_its_facts_are_names_versions_and_all_parameters():
    """What unit keys and `defense_params` hold; not where the code lies."""
    whole = chain([spec("jpeg", quality=20), spec("median")])
    assert json.loads(whole.params.model_dump_json()) == {
        "parts": [
            {"use": "jpeg", "version": 1, "params": {"quality": 20, "chroma": "4:2:0"}},
            {"use": "median", "version": 1, "params": {"size": 3}},
        ]
    }


def test_it_travels_to_other_processes():
    whole = chain([spec("jpeg", quality=20), spec("median")])
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole and again.params.parts[0].build == "raygrid.defenses.preprocess:ThroughJpeg"


def test_none_stands_for_none_and_a_chain_of_one_is_that_one():
    jpeg, none = spec("jpeg"), spec("none")
    assert chain([none, jpeg]) == chain([jpeg]) == jpeg
    assert chain([none, none]) == none
    assert isinstance(chain([none, jpeg, jpeg]).params, Chain)


def test_one_that_has_to_be_measured_first_is_refused():
    with pytest.raises(ValueError, match="noise has to be measured first, which a chain does not do"):
        chain([spec("jpeg", quality=50), spec("noise", sigma=1, site="relu1", unit="std")])


def test_two_that_reach_inside_or_a_detector_behind_another_are_refused():
    inside = spec("noise", sigma=1, site="all")
    with pytest.raises(
        ValueError, match=r"^noise and noise both change hidden layers, and each has to stand right around"
    ):
        chain([inside, spec("jpeg"), inside])
    with pytest.raises(
        ValueError, match=r"^feature-squeezing raises the alarm by what the whole chain answers: name it first$"
    ):
        chain([spec("jpeg"), spec("feature-squeezing", threshold=1)])


def test_a_detector_sees_what_the_whole_chain_answers():
    x, _ = digits(N)
    whole = built(spec("feature-squeezing", threshold=0.1, bits=1), spec("noise", sigma=0.3, votes=3))
    assert whole.random and whole.alarm.random
    assert torch.equal(whole.alarm(x, draws(IDS)), whole.alarm(x, draws(IDS)))
    assert whole.soft(x, draws(IDS)).shape == (N, 10)
