"""The phoneme recognizer against the file it was read from, and on speech whose words are known."""

import re
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss, pad

from raygrid.assets import fetch
from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.errors import UsageError
from raygrid.metrics.transcription import token_errors
from raygrid.pins import ASSETS
from raygrid.registry import find
from raygrid.victims.check import check_victim
from raygrid.victims.ctc_text import needed_frames
from raygrid.victims.hama_net import BLANK_BIAS
from raygrid.victims.hama_text import frames, hama_text
from raygrid.victims.recognizer import Recognizer

PHRASE = "call nine one one"


@pytest.fixture(scope="module")
def victim() -> Recognizer:
    component = find("victim", "hama")
    info = resolve(component.identify)(component.params(), "mine")
    return resolve(component.build)(component.params(), info)


@pytest.fixture(scope="module")
def speech() -> list[tuple[str, str, torch.Tensor]]:
    """Folder, transcript and waveform [1, T] of ten utterances."""
    component = find("data", "pocketsphinx-speech")
    table = resolve(component.build)(component.params(), None).table
    columns = (table.column(name).to_pylist() for name in ("cluster", "transcript", "samples"))
    rows = zip(*columns, torch.tensor(pixels(table)), strict=True)
    return [(cluster, transcript, x[None, :samples]) for cluster, transcript, samples, x in rows]


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return 0.1 * torch.randn(3, 24_000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def session():
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs the file itself, not installed here")
    return onnxruntime.InferenceSession(str(fetch(ASSETS["hama-asr"])))


def test_the_net_says_what_the_file_says(victim, speech, session):
    for _, _, x in speech[1::3]:
        feeds = {"waveform": x.numpy(), "waveform_lengths": np.array([x.shape[1]])}
        theirs = torch.tensor(session.run(["log_probs"], feeds)[0])
        theirs[..., victim.text.blank] += BLANK_BIAS
        theirs, ours = theirs.log_softmax(-1), victim(x)
        assert ours.shape == theirs.shape
        assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
        likely = theirs > -8  # the file computes in float16
        assert (ours - theirs)[likely].abs().max() < 0.12


@pytest.mark.parametrize(("folder", "edits", "phonemes"), [("librivox", 16, 250), ("cards", 10, 73)])
def test_the_error_rate_on_clean_speech_is_the_known_one(victim, speech, folder, edits, phonemes):
    text = victim.text
    heard = [
        token_errors(text.phonemes(text.spell(said)), text.phonemes(victim.paths(victim(x))[0]))
        for cluster, said, x in speech
        if cluster == folder
    ]
    total = reduce(add, heard)
    assert (total.edits, total.length) == (edits, phonemes)


def test_a_sentence_is_written_as_phonemes_in_words(victim, speech):
    assert victim.transcribe(speech[8][2]) == ["f aɪ v | f aɪ v"]


def test_outputs_are_log_probabilities_of_a_frame_every_20_milliseconds(victim, noise):
    outputs = victim(noise)
    assert outputs.shape == (3, 24_000 // 320 + 1, victim.info.classes)
    assert torch.allclose(outputs.exp().sum(-1), torch.ones(outputs.shape[:2]), atol=1e-5)
    assert len(victim.text.tokens) == victim.info.classes
    assert sum(parameter.numel() for parameter in victim.parameters()) == 2_100_255


def test_a_batch_is_heard_as_its_clips_one_by_one(victim, noise):
    assert torch.allclose(victim(noise), torch.cat([victim(x[None]) for x in noise]), rtol=1e-4, atol=1e-3)


def test_the_gradient_is_the_slope_of_the_loss(victim, noise):
    goal = torch.tensor([victim.text.spell(PHRASE)])

    def loss(x):
        outputs = victim(x).transpose(0, 1)
        lengths = torch.tensor([len(outputs)]), torch.tensor([goal.shape[1]])
        return ctc_loss(outputs, goal, *lengths, blank=victim.text.blank)

    x = noise[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    step = gradient / gradient.norm() * 1e-5
    with torch.no_grad():
        slope = (loss(x + step) - loss(x - step)) / (2 * step.norm())
    assert torch.allclose(slope, gradient.norm(), rtol=0.05)


def test_a_few_steps_make_it_hear_what_is_not_there(victim, noise):
    text, goal = victim.text, victim.text.spell("stop")
    x = noise[:1, :16_000]
    delta = torch.zeros_like(x, requires_grad=True)
    adam = torch.optim.Adam([delta], 3e-3)
    for _ in range(25):
        outputs = victim(x + delta).transpose(0, 1)
        lengths = torch.tensor([len(outputs)]), torch.tensor([len(goal)])
        adam.zero_grad()
        ctc_loss(outputs, torch.tensor([goal]), *lengths, blank=text.blank).backward()
        adam.step()
    assert victim.transcribe(x + delta) == [text.written(goal)] != victim.transcribe(x)


@pytest.mark.parametrize("layer", ["mel", "stem", "block0", "block10", "attention1"])
def test_layers_can_be_looked_into_and_resumed_from(victim, noise, layer):
    assert layer in victim.layers.all()
    assert torch.equal(victim.resume(victim.features(noise, layer), layer), victim(noise))


@pytest.mark.parametrize("samples", [201, 319, 320, 479, 480, 16_000, 16_161, 31 * 16_000])
def test_the_number_of_frames_is_known_without_the_net(victim, samples):
    assert victim(torch.full((1, samples), 0.1)).shape[1] == frames(samples)


def test_only_the_first_thirty_seconds_are_heard(victim):
    assert victim(torch.full((1, 31 * 16_000), 0.1)).shape[1] == 1500


def test_silence_is_written_as_nothing_and_has_no_gradient(victim):
    x = torch.zeros(1, 16_000, requires_grad=True)
    assert victim.transcribe(x) == [""]
    victim(x).square().sum().backward()
    assert x.grad.isfinite().all()


def test_filling_up_with_zeros_is_heard_so_clips_are_judged_at_their_own_length(victim, speech):
    x = speech[7][2]
    assert victim.transcribe(pad(x, (0, 16 * 16_000))) != victim.transcribe(x)


@pytest.mark.parametrize("shape", [(1, 1, 16_000), (16_000,), (1, 200)])
def test_what_is_no_batch_of_waveforms_is_refused(victim, shape):
    with pytest.raises(UsageError, match=r"takes waveforms \[B, T\] of at least 201 samples \(13 ms\)"):
        victim(torch.zeros(shape))


def test_it_passes_the_preflight_on_speech_and_not_on_pictures(victim, noise):
    labels = torch.zeros(3, dtype=torch.long)
    assert check_victim(victim, noise, labels, 1) == []
    assert "takes recordings, the data has pictures" in check_victim(victim, torch.rand(3, 1, 8, 8), labels, 1)[0]


class Faulty(torch.nn.Module):
    def __init__(self, model, change):
        super().__init__()
        self.model, self.change = model, change

    def forward(self, x):
        return self.change(self.model(x))


FAULTS = {
    "scores": (lambda outputs: outputs + 1, "miss a sum of 1"),
    "NaN": (lambda outputs: outputs * torch.nan, "miss a sum of 1"),
    "one frame": (
        lambda outputs: outputs[:, 0],
        r"returns \[3, 191\]; it must return log-probabilities \[3, frames, 191\]",
    ),
    "no gradient": (torch.Tensor.detach, "no gradient reaches the input"),
    "over the batch": (lambda outputs: (outputs + outputs.mean(0)).log_softmax(-1), "other samples of its batch"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_recognizer_does_not_pass_the_preflight(victim, noise, change, message):
    faulty = Recognizer(Faulty(victim.model, change), victim.info, victim.text, victim.shortest)
    assert re.search(message, check_victim(faulty, noise, torch.zeros(3, dtype=torch.long), 1)[0])


# The text side, which needs no net


def test_words_are_spelled_in_phonemes_with_boundaries_between():
    text = hama_text()
    goal = text.spell("Call NINE, nine!")
    assert text.written(goal) == "k ɔ l | n aɪ n | n aɪ n"
    assert goal.count(text.boundary) == 2
    assert text.words(goal) == [["k", "ɔ", "l"], ["n", "aɪ", "n"], ["n", "aɪ", "n"]]
    assert text.phonemes(goal) == ["k", "ɔ", "l", "n", "aɪ", "n", "n", "aɪ", "n"]


SPELLED = {
    "dashwood": "d æ ʃ w ʊ d",
    "prudently": "p ɹ u d ə n t l i",
    "respectable": "ɹ ɪ s p ɛ k t ə b ə l",
    "one": "o n e",
    "evil": "i v l",
    "a": "ə",
}
"""By hama 1.3.13 itself."""


@pytest.mark.parametrize(("word", "phonemes"), SPELLED.items())
def test_words_are_spelled_as_the_package_spells_them(word, phonemes):
    assert hama_text().written(hama_text().spell(word)) == phonemes


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ("", "there is nothing to say"),
        (" ... ", "there is nothing to say"),
        ("call 911", "no sign '9'; write numbers as words"),
        ("cost $", r"no sign '\$'"),
        ("one_two", "no sign '_'"),
        ("a" * 200, "200 letters; the speller takes 128"),
        ("banana" * 20, "can't say"),
    ],
)
def test_what_cannot_be_said_is_refused(goal, message):
    with pytest.raises(UsageError, match=message):
        hama_text().spell(goal)


def test_a_path_is_read_by_joining_repeats_and_dropping_blanks():
    text = hama_text()
    a, b, blank = 7, 9, text.blank
    assert text.read([blank, a, a, blank, a, b, b, blank]) == [a, a, b]
    assert text.read([blank] * 5) == []


def test_the_frames_a_text_needs_are_just_enough_for_ctc():
    goal = [7, 9, 9, 8]
    for given, finite in ((needed_frames(goal), True), (needed_frames(goal) - 1, False)):
        outputs = torch.zeros(given, 1, 10).log_softmax(-1)
        loss = ctc_loss(outputs, torch.tensor([goal]), torch.tensor([given]), torch.tensor([len(goal)]))
        assert bool(loss.isfinite()) is finite
