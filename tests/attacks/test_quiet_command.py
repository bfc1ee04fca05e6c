"""The quietest commands: what they keep to, that they get quieter, and that the second stage goes under what the clip hides."""

import inspect
import json
from pathlib import Path

import pytest
import torch
from models import numbers, victim
from test_over_the_air import LENGTH, WANTED, Letters, Net, carriers

from raygrid.attacks.quiet_command import Adam
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.medium import read_back, stored
from raygrid.metrics.masking import masking
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.sample_errors import SampleError
from raygrid.spec import Budget
from raygrid.transcription import Frames, Hearing

torch.set_num_threads(1)
GOLDEN = Path(__file__).parents[1] / "golden" / "quiet_command.json"
FEW = {"carlini-wagner-audio": {"steps": 40}, "imperceptible": {"steps": 40, "masked_steps": 30}}
BOTH = pytest.mark.parametrize("name", FEW)


def run(name, x, wanted=WANTED, ids=None, model=None, text=None, oracle=None, **params):
    """Craft. Returns the examples and the oracle, which goes on after a success."""
    wanted, component = wanted[: len(x)], find("attack", name)
    hearing = Hearing(Frames(text or Letters()), wanted, [None] * len(x), garbles=False)
    seen = Oracle(model or Net(), len(x), readout=hearing, **{"stop_early": False, **(oracle or {})})
    goal = Goal("transcribe", torch.zeros(len(x), dtype=torch.long))
    streams = Randomness(0, name, ids or [f"carrier-{i}" for i in range(len(x))])
    parsed = dict(parse(component, {**FEW[name], **params}))
    return resolve(component.build)(seen, goal, x, Constraint("linf", float("inf"), -1, 1), streams, **parsed), seen


def clips(n=3):
    """Carriers that a file can hold."""
    return (carriers(n) * 32768).round() / 32768


def audible(z, x):
    return masking(x, 16_000).above(z - x).mean((1, 2))


# What it reaches


def test_a_recognizer_writes_the_words_of_a_file_that_differs_by_little():
    model, x = victim("hama"), (0.1 * numbers(2, 16_000)[1:] * 32768).round() / 32768
    hello = model.text.spell("hello")
    crafted = {
        name: run(name, x, [hello], model=model, text=model.text, steps=80, peak_db=-25, **more)
        for name, more in (("carlini-wagner-audio", {}), ("imperceptible", {"masked_steps": 60}))
    }
    for z, oracle in crafted.values():
        assert model.transcribe(read_back(stored(z, x), x)) == [model.text.written(hello)]
        assert oracle.broken.all()
    first, second = (z for z, _ in crafted.values())
    assert (first - x).abs().max() < 0.03 * x.abs().max()
    assert audible(second, x) < 0.3 * audible(first, x)


@BOTH
def test_more_steps_are_no_louder(name):
    x = clips(5)
    measure = {"carlini-wagner-audio": lambda z: (z - x).abs().amax(1), "imperceptible": lambda z: audible(z, x)}[name]
    last = {"carlini-wagner-audio": "steps", "imperceptible": "masked_steps"}[name]
    few, many = (run(name, x, **{last: steps}) for steps in (25, 80))
    assert few[1].broken.sum() >= 4 and (many[1].broken >= few[1].broken).all()
    both = torch.from_numpy(few[1].broken)
    assert measure(many[0])[both].sum() < measure(few[0])[both].sum()
    if name == "carlini-wagner-audio":  # its first steps are the same, and the best of them is kept
        assert (measure(many[0]) <= measure(few[0]))[both].all()


def test_the_second_stage_never_ends_more_audible_than_the_first():
    x = clips(5)
    first, oracle = run("carlini-wagner-audio", x)
    second, after = run("imperceptible", x)
    assert (after.broken == oracle.broken).all()
    assert (audible(second, x) <= audible(first, x)).all()
    assert (audible(second, x) < audible(first, x)).sum() >= 3


# What it keeps to


@BOTH
def test_its_examples_are_what_a_file_holds(name):
    x = clips()
    x[0, :50] = 1 - 1 / 32768  # at the edge of the box
    z, _ = run(name, x)
    assert torch.equal(read_back(stored(z, x), x), z)
    assert z.abs().max() <= 1 and not torch.equal(z, x)


@BOTH
def test_its_limit_is_the_first_peak(name):
    x = clips()
    z, oracle = run(name, x, peak_db=-60, wanted=[[3, 1, 0, 2, 1, 0, 1]] * 3)
    assert not oracle.broken.any()
    assert ((z - x).abs().amax(1) <= 1e-3 * x.abs().amax(1)).all() and not torch.equal(z, x)


@BOTH
@pytest.mark.parametrize("batch", [(0, 1, 2), (2, 0), (1,)])
def test_an_example_does_not_hang_on_what_stands_beside_it(name, batch):
    x = clips()
    whole, _ = run(name, x)
    some, _ = run(name, x[list(batch)], [WANTED[i] for i in batch], [f"carrier-{i}" for i in batch])
    assert torch.allclose(some, whole[list(batch)], atol=1e-6)
    assert torch.equal(run(name, x)[0], whole)


@BOTH
def test_it_spends_what_it_says_and_no_more_than_its_budget(name):
    x, component = clips(), find("attack", name)
    _, oracle = run(name, x, steps=10)
    most, gradients = parse(component, {**FEW[name], "steps": 10}).passes()
    assert (oracle.forwards <= most).all() and (oracle.backwards == oracle.forwards).all()
    assert (oracle.forwards[oracle.broken] == most).all() and most == gradients
    _, oracle = run(name, x, oracle={"budget": Budget(queries=7)})
    assert (oracle.forwards <= 7).all()


@BOTH
def test_what_it_can_not_attack_is_said(name):
    silent = clips()
    silent[1] = 0
    with pytest.raises(SampleError, match="silent") as caught:
        run(name, silent)
    assert caught.value.positions == [1]
    with pytest.raises(ValueError, match="takes waveforms"):
        run(name, numbers(2, 1, 4, 4))
    with pytest.raises(AccessDeniedError):
        run(name, clips(), oracle={"access": "score"})


@BOTH
def test_samples_that_are_skipped_stay_as_they_are(name):
    x = clips()
    z, oracle = run(name, x, oracle={"skip": torch.tensor([False, True, False])})
    assert torch.equal(z[1], x[1]) and oracle.forwards[1] == 0 and oracle.forwards[0] > 0


def test_adam_is_adam_for_each_point_alone():
    gradients = numbers(6, 2, 5)
    point = torch.zeros(2, 5, requires_grad=True)
    theirs, adam, ours = torch.optim.Adam([point], lr=0.1), Adam(point.detach()), torch.zeros(2, 5)
    for gradient in gradients:
        point.grad = gradient.clone()
        theirs.step()
        for on in (torch.tensor([1]), torch.tensor([0])):
            ours[on] = ours[on] - 0.1 * adam.step(gradient[on], on)
    assert torch.allclose(point.detach(), ours, atol=1e-6)


@BOTH
def test_the_entry_says_what_the_function_takes(name):
    component = find("attack", name)
    taken = set(inspect.signature(resolve(component.build)).parameters) - {
        "oracle",
        "goal",
        "x",
        "constraint",
        "randomness",
    }
    assert taken == set(component.params.model_fields)


def outcome(name):
    z, oracle = run(name, clips())
    return {
        "version": find("attack", name).version,
        "broken": oracle.broken.tolist(),
        "values": [[round(value, 6) for value in row[:: LENGTH // 16].tolist()] for row in z],
    }


@BOTH
def test_outputs_move_only_with_a_new_version(name):
    golden, found = json.loads(GOLDEN.read_text())[name], outcome(name)
    assert found["version"] == golden["version"], (
        f"{name} has a new version. Run python tests/attacks/{Path(__file__).name}"
    )
    assert found["broken"] == golden["broken"]
    assert torch.allclose(torch.tensor(found["values"]), torch.tensor(golden["values"]), rtol=0, atol=2e-4)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: outcome(name) for name in FEW}, indent=1) + "\n")
