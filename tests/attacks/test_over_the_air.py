"""Commands over the air: what the attack keeps to, where it rehearses, and that it is a digital one where nothing is in between."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from models import numbers, victim
from torch import nn

from raygrid.attacks import over_the_air, rehearsal
from raygrid.attacks.over_the_air import Best
from raygrid.attacks.rehearsal import SOFTER, Heard, Practice
from raygrid.channels.catalog_audio import Room
from raygrid.channels.room_bank import Bank, bank
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.metrics.signal import outside_share, snr_db
from raygrid.metrics.transcription import token_errors
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.sample_errors import SampleError
from raygrid.spec import Budget
from raygrid.transcription import Frames, Hearing

torch.set_num_threads(1)
COMPONENT = find("attack", "over-the-air")
GOLDEN = Path(__file__).parents[1] / "golden" / "over_the_air.json"
FEW = {"rooms": 5, "validation": 3, "plays": 2, "steps": 6, "every": 3}
DIGITAL = {"rooms": 0, "noise": False, "band": None}
LENGTH = 4000


class Letters:
    """Tokens that are letters."""

    tokens = ("a", "b", "c", "d", "-")
    blank = 4

    def read(self, frames):
        path = [token for token, before in zip(frames, [None, *frames], strict=False) if token != before]
        return [token for token in path if token != self.blank]


class Net(nn.Module):
    """Log-probabilities of the letters in frames of 250 samples, each of that frame alone."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(250, 12), nn.Linear(12, 5)
        for number, layer in enumerate((self.one, self.two)):
            layer.weight.data = numbers(*layer.weight.shape, seed=number) / layer.in_features**0.5
            layer.bias.data.zero_()

    def forward(self, x):
        return (4 * self.two(torch.tanh(8 * self.one(x.unfold(1, 250, 250))))).log_softmax(-1)


def carriers(n=3):
    return 0.2 * numbers(n, LENGTH, seed=3)


WANTED = [[0, 1], [2], [3, 1, 0], [1, 1], [0]]


def echoes(params, split):
    """Rooms of a few echoes in place of simulated ones."""
    count = params.train if split == "train" else params.validation
    responses = 0.3 * numbers(count, 40, seed=len(split)) * torch.exp(-torch.arange(40) / 10)
    responses[:, 0] = 1
    return Bank(split, (), responses, torch.full((count,), 40), torch.zeros(count), torch.zeros(count))


@pytest.fixture(autouse=True)
def splits(monkeypatch):
    """The splits that were asked for."""
    asked = []
    monkeypatch.setattr(rehearsal, "bank", lambda params, split: asked.append(split) or echoes(params, split))
    return asked


def run(
    x,
    wanted=WANTED,
    ids=None,
    seed=0,
    model=None,
    text=None,
    oracle=None,
    randomness=Randomness,
    garbles=False,
    **params,
):
    """Craft. Returns the examples and the oracle."""
    wanted = wanted[: len(x)]
    hearing = Hearing(Frames(text or Letters()), wanted, [None] * len(x), garbles=garbles)
    seen = Oracle(model or Net(), len(x), readout=hearing, **(oracle or {}))
    goal = Goal("garble" if garbles else "transcribe", torch.full((len(x),), int(garbles)))
    numbers_ = randomness(seed, "over-the-air", ids or [f"carrier-{i}" for i in range(len(x))])
    parsed = dict(parse(COMPONENT, params))
    return resolve(COMPONENT.build)(seen, goal, x, Constraint("linf", float("inf"), -1, 1), numbers_, **parsed), seen


# What it reaches


def test_the_digital_attack_makes_a_recognizer_write_the_words():
    model, x = victim("hama"), 0.1 * numbers(2, 16_000)
    words = ["stop", "hello"]
    wanted = [model.text.spell(word) for word in words]
    z, oracle = run(x, wanted, model=model, text=model.text, **DIGITAL, steps=100, snr_db=20)
    assert model.transcribe(z) == [model.text.written(tokens) for tokens in wanted]
    assert (snr_db(z, x) >= 20).all()
    assert oracle.broken.all() and (oracle.forwards < 100).all()  # the first that is heard is enough


@pytest.mark.parametrize("where", [DIGITAL, {**FEW, "band": None}], ids=["digital", "rooms"])
def test_without_a_phrase_speech_is_garbled_within_the_snr(where):
    x = carriers(5)
    read = lambda z: [Letters().read(path) for path in Net()(z).argmax(-1).tolist()]  # noqa: E731
    said = read(x)
    for asked in (20, 10):
        z, _ = run(x, said, garbles=True, **{**where, "steps": 40, "snr_db": asked})
        assert (snr_db(z, x) >= asked).all()
        errors = [token_errors(clean, heard).rate for clean, heard in zip(said, read(z), strict=True)]
        assert min(errors) > 0 and (asked > 10 or min(errors) >= 0.5)


@pytest.mark.parametrize("sampling", ["loss", "uniform"])
def test_what_it_makes_is_heard_in_other_rooms_than_before(sampling):
    x, few = carriers(5), {**FEW, "steps": 40, "snr_db": 0, "band": None, "sampling": sampling}
    z, oracle = run(x, **few)
    assert oracle.broken.sum() >= 4
    untouched, _ = run(x, **{**few, "steps": 1, "lr": 1e-9})
    heard = [[Letters().read(path) for path in Net()(some).argmax(-1).tolist()] for some in (z, untouched)]
    assert sum(a == b for a, b in zip(heard[0], WANTED, strict=True)) >= 4
    assert not any(a == b for a, b in zip(heard[1], WANTED, strict=True))


def test_it_ends_where_all_are_heard_at_the_same_step():
    z, oracle = run(carriers(1), [[0]], **{**DIGITAL, "band": (1000, 4000)}, snr_db=0, lr=1)
    assert oracle.broken.all() and oracle.forwards[0] < 300 and (z - carriers(1)).any()


# What it keeps to


@pytest.mark.parametrize("noise", [False, True], ids=["quiet", "noisy"])
@pytest.mark.parametrize("rooms", [0, 5], ids=["no rooms", "rooms"])
@pytest.mark.parametrize("band", [None, (1000, 4000)], ids=["full band", "band"])
@pytest.mark.parametrize("snr", [3.0, 12.0])
def test_the_perturbation_keeps_to_its_band_its_power_and_the_range(band, rooms, noise, snr):
    x = carriers()
    x[2] = (4 * x[2]).clamp(-1, 1)  # a carrier that is cut off itself
    z, _ = run(x, **{**FEW, "band": band, "rooms": rooms, "noise": noise, "snr_db": snr, "lr": 1})
    assert (snr_db(z, x) >= snr).all() and (snr_db(z, x)[:2] < snr + 1).all()
    assert z.abs().max() <= 1
    if band:
        assert (outside_share(z - x, 16_000, *band) < 1e-6).all()


def test_without_a_limit_to_the_power_decay_keeps_it_small():
    x = carriers()
    free, decayed = (run(x, **{**FEW, "steps": 30, "snr_db": None, "decay": d})[0] - x for d in (0, 0.2))
    assert (decayed.square().sum(1) < 0.5 * free.square().sum(1)).all()


def test_neither_judged_rooms_nor_the_judges_noise_are_ever_asked_for(splits):
    asked = []

    class Watched(Randomness):
        def generator(self, purpose, sample_id):
            asked.append(purpose)
            return super().generator(purpose, sample_id)

    run(carriers(), randomness=Watched, **FEW)
    assert set(splits) == {"train", "validation"}
    assert {purpose.split("/")[0] for purpose in asked} == {"craft", "validate"}
    assert COMPONENT.params().rehearses()


def test_one_room_that_changes_nothing_makes_it_the_digital_attack(monkeypatch):
    one = torch.ones(1)
    impulse = Bank("train", (), torch.ones(1, 1), one.long(), one, one)
    monkeypatch.setattr(rehearsal, "bank", lambda params, split: impulse)
    same = {**FEW, **DIGITAL, "every": 1, "validation": 1, "plays": 1}
    x, net = carriers().double(), Net().double()  # Adam's first step is a sign, and that of 0 is one of rounding
    physical, digital = (run(x, model=net, oracle={"stop_early": False}, **{**same, "rooms": n})[0] for n in (1, 0))
    assert (physical - digital).abs().max() < 1e-6 < (digital - x).abs().max()


def test_of_several_points_the_one_heard_most_often_is_kept_and_then_the_one_of_least_loss():
    best = Best(torch.zeros(2, 1), torch.tensor([-1, -1]), torch.full((2,), torch.inf))
    for value, met, loss in ((1.0, 1, 3.0), (2.0, 2, 5.0), (3.0, 2, 4.0), (4.0, 2, 4.5), (5.0, 1, 0.0)):
        met = torch.arange(3)[None] < met
        best.note(torch.tensor([1]), torch.tensor([[value]]), Heard(torch.full((1, 3), loss), met))
    assert best.z.tolist() == [[0.0], [3.0]] and best.exact.tolist() == [-1, 2]


def test_of_several_searches_the_best_point_is_taken_and_the_first_is_the_only_one_of_one(monkeypatch):
    noted, note = [], Best.note

    def watch(best, on, z, heard):
        noted.append((z.clone(), heard))
        note(best, on, z, heard)

    monkeypatch.setattr(Best, "note", watch)
    x, few = carriers(1), {**FEW, "snr_db": 0, "every": 6}
    (one, _), (three, _) = (run(x, **few, starts=n) for n in (1, 3))
    assert torch.equal(noted[0][0], noted[1][0]) and torch.equal(one, noted[0][0])
    points = [z for z, _ in noted[1:]]
    assert len(points) == 3 and not torch.equal(points[0], points[1]) and not torch.equal(points[1], points[2])
    ranks = [(-int(heard.met.sum()), float(heard.losses.mean())) for _, heard in noted[1:]]
    assert torch.equal(three, points[ranks.index(min(ranks))])


def test_noise_has_every_color_and_no_more_than_its_level():
    practice = Practice(Randomness(0, "a", ["s"]), 0, True, 0.5, None, 8, 200, "loss")
    noise = practice.validating_plays(torch.tensor([0]), 16_000).noise[0]
    level = noise.square().mean(1).sqrt()
    assert 0.5 * 10 ** (-SOFTER / 20) * 0.9 < level.min() < level.max() < 0.55
    power = torch.fft.rfft(noise).abs().square()
    tilt = 10 * torch.log10(power[:, 250:500].mean(1) / power[:, 4000:8000].mean(1))
    assert tilt.min() < 2 and tilt.max() > 15  # four octaves, of 0 to 4.5 dB each


def test_noise_grows_from_none_with_each_success_or_is_there_at_once():
    successes = torch.tensor([0, 1, 2, 50])
    grown, full = (Practice(Randomness(0, "a", []), 0, True, 0.5, growth, 8, 8, "loss") for growth in (0.8, None))
    assert torch.allclose(grown.loudest(successes), torch.tensor([0.0, 0.1, 0.18, 0.5]), atol=1e-4)
    assert full.loudest(successes).tolist() == [0.5] * 4
    heard = Heard(torch.zeros(2, 3), torch.tensor([[True, True, False], [True, False, False]]))
    assert grown.louder(torch.tensor([4, 4]), heard).tolist() == [5, 4]


# Costs, numbers, order


@pytest.mark.parametrize(
    "params",
    [
        FEW,
        FEW | {"starts": 3},
        FEW | DIGITAL | {"starts": 3},
        FEW | {"steps": 7, "grown": True},
        FEW | {"rooms": 0},
        FEW | DIGITAL,
    ],
    ids=str,
)
def test_spends_all_its_passes_and_no_more_when_nothing_stops_it(params):
    _, oracle = run(carriers(), oracle={"stop_early": False}, **params)
    forwards, backwards = parse(COMPONENT, params).passes()
    assert oracle.forwards.tolist() == [forwards] * 3 and oracle.backwards.tolist() == [backwards] * 3


@pytest.mark.parametrize("cell", [{}, DIGITAL], ids=["rooms", "digital"])
@pytest.mark.parametrize(
    "budget", [Budget(0), Budget(1), Budget(5), Budget(None, 0), Budget(None, 3), Budget(9, 8)], ids=str
)
def test_spends_no_more_than_its_budget(budget, cell):
    z, oracle = run(carriers(), oracle={"budget": budget}, **{**FEW, **cell})
    assert oracle.forwards.max() <= (1000 if budget.queries is None else budget.queries)
    assert oracle.backwards.max() <= (1000 if budget.gradients is None else budget.gradients)
    moved = (z - carriers()).abs().amax(1) > 0
    if not cell:  # else what it looked at once is the carrier itself
        assert (moved == torch.from_numpy(oracle.backwards > 0)).all()


@pytest.mark.parametrize("cell", [{}, {"sampling": "uniform"}, DIGITAL], ids=["loss", "uniform", "digital"])
@pytest.mark.parametrize("micro_batch", [None, 1, 5])
def test_an_example_is_the_samples_own_whatever_stands_beside_it(micro_batch, cell):
    x, names, order = carriers(5), [f"carrier-{i}" for i in range(5)], [3, 0, 4, 1, 2]
    few = FEW | cell
    whole, _ = run(x, **few)
    shuffled, _ = run(
        x[order],
        [WANTED[i] for i in order],
        [names[i] for i in order],
        oracle={"micro_batch": micro_batch},
        **few,
    )
    alone, _ = run(x[[3]], [WANTED[3]], [names[3]], **few)
    assert torch.allclose(shuffled, whole[order], atol=1e-5)
    assert torch.allclose(alone, whole[[3]], atol=1e-5)


def test_a_rerun_is_bit_identical_and_another_seed_is_not():
    once, again, other = (run(carriers(), seed=seed, **FEW)[0] for seed in (0, 0, 1))
    assert torch.equal(once, again) and not torch.equal(once, other)


def test_it_needs_gradients():
    with pytest.raises(AccessDeniedError):
        run(carriers(), oracle={"access": "score"}, **FEW)


def test_who_is_not_to_be_attacked_stays_as_he_is():
    x = carriers()
    x[0] = 0
    z, _ = run(x, oracle={"skip": torch.tensor([True, False, False])}, **FEW)
    assert torch.equal(z[0], x[0]) and not torch.equal(z[1], x[1])


# Bad input


@pytest.mark.parametrize("cell", [{}, DIGITAL], ids=["rooms", "digital"])
def test_silence_hides_nothing(cell):
    x = carriers()
    x[1] = 0
    with pytest.raises(SampleError, match="the carrier is silent") as caught:
        run(x, **{**FEW, **cell})
    assert caught.value.positions == [1]


def test_a_carrier_too_short_for_the_words_is_said_to_be():
    wanted = [[0], [0, 1] * 20, [1]]
    with pytest.raises(SampleError, match="too short: it gives 16 frames, and what it is to say needs 40") as caught:
        run(carriers(), wanted, **FEW)
    assert set(caught.value.positions) == {1}


def test_pictures_are_no_carriers():
    with pytest.raises(ValueError, match=r"takes waveforms \[N, T\]"):
        run(torch.zeros(2, 1, 4, 4), **FEW)


@pytest.mark.parametrize("wrong", [{"band": [4000, 1000]}, {"band": [1000, 9000]}, {"plays": 0}, {"lr": 0}], ids=str)
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        COMPONENT.params(**wrong)


def test_the_function_takes_what_the_catalog_declares_and_explains():
    signature = inspect.signature(resolve(COMPONENT.build)).parameters.values()
    assert {p.name for p in signature if p.kind is p.KEYWORD_ONLY} == set(COMPONENT.params.model_fields)
    assert all(field.description for field in COMPONENT.params.model_fields.values())
    assert "2019" in COMPONENT.source


# Golden outputs


CELLS = {"rooms": {}, "digital": DIGITAL}


def golden_outcome(cell):
    """A few sums of what becomes of the carriers."""
    weights = numbers(3, LENGTH, seed=1) / LENGTH**0.5
    z, _ = run(carriers(), **{**FEW, **CELLS[cell]})
    return [round(value, 4) for value in ((z - carriers()) @ weights.T).flatten().tolist()]


@pytest.mark.parametrize("cell", CELLS)
def test_outputs_move_only_with_a_new_version(cell):
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == COMPONENT.version, "write over_the_air.json anew"
    assert golden_outcome(cell) == pytest.approx(golden[cell], abs=2e-3), "raise the version and write the file anew"


if __name__ == "__main__":
    rehearsal.bank = echoes
    GOLDEN.write_text(
        json.dumps({"version": COMPONENT.version} | {cell: golden_outcome(cell) for cell in CELLS}) + "\n"
    )


def test_it_rehearses_in_responses_that_the_attacker_measured_and_never_in_those_that_judge(tmp_path, monkeypatch):
    for split, seeds in {"train": (1, 2, 3), "validation": (4,), "judge": (5, 6)}.items():
        (tmp_path / split).mkdir()
        for seed in seeds:
            response = 0.3 * numbers(40, seed=seed).numpy() * np.exp(-np.arange(40) / 10)
            soundfile.write(
                tmp_path / split / f"{seed}.wav", np.concatenate([[1.0], response]), 16_000, subtype="FLOAT"
            )
    asked = []
    for module in (rehearsal, over_the_air):
        monkeypatch.setattr(module, "bank", lambda params, split: asked.append(split) or bank(params, split))
    heard = []
    real = rehearsal.reverberated
    monkeypatch.setattr(rehearsal, "reverberated", lambda x, h: heard.append(h) or real(x, h))
    own = {**FEW, "steps": 40, "snr_db": 0, "band": None, "responses": str(tmp_path)}
    z, oracle = run(carriers(), **own)
    assert set(asked) == {"train", "validation"} and oracle.broken.any()
    rooms = {h.numpy().tobytes() for hs in heard for h in hs.flatten(0, 1)}
    params = Room(responses=str(tmp_path))
    known = {row.numpy().tobytes() for split in ("train", "validation") for row in bank(params, split).responses}
    assert rooms == known and len(known) == 4
    (tmp_path / "judge" / "5.wav").unlink()
    assert torch.equal(run(carriers(), **own)[0], z)
