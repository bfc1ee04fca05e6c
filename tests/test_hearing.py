"""What is heard, as a decision: its scores tell what is reached, and their slope is that of the CTC loss."""

import math
from itertools import groupby

import pytest
import torch
from torch import nn

from raygrid.attacks.gradient import pgd
from raygrid.batch import Batch
from raygrid.channels.catalog_audio import Room
from raygrid.channels.room import room
from raygrid.component import Params
from raygrid.constraints import Constraint
from raygrid.defenses.defended import Defended
from raygrid.goals import make_goal
from raygrid.judge import judge
from raygrid.kernel import craft, fit
from raygrid.medium import read_back, stored
from raygrid.oracle import Oracle
from raygrid.outputs import Outputs, run_model
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.sample_errors import SampleError
from raygrid.spec import AttackSpec, ChannelSpec
from raygrid.transcription import GARBLED_FROM, Frames, Hearing, Words, ear_of, hearing_of
from raygrid.victims.info import VictimInfo
from raygrid.victims.recognizer import Recognizer

STEP = 8
"""Samples of a frame."""


class Letters:
    """Tokens a, b, c and the blank."""

    tokens = ("a", "b", "c", "<blank>")
    blank = 3

    def spell(self, text):
        return [self.tokens.index(letter) for letter in text if letter != " "]

    def read(self, frames):
        return [token for token, _ in groupby(frames) if token != self.blank]

    def written(self, tokens):
        return "".join(self.tokens[token] for token in tokens)

    def words(self, tokens):
        return [[self.tokens[token]] for token in tokens]

    def phonemes(self, tokens):
        return [letter for word in self.words(tokens) for letter in word]


class Scores(nn.Module):
    """Each frame of eight samples has a token's score in each of its first four."""

    def forward(self, x):
        return (20 * x.unflatten(1, (-1, STEP))[..., :4]).log_softmax(-1)


INFO = VictimInfo(
    "letters", "letters", 4, (1, None, None), (0.0,), (1.0,), "", task="transcription", sample_rate=16_000
)
VICTIM = Recognizer(Scores(), INFO, Letters(), STEP)


def says(text, frames=6, loud=0.5):
    """A clip in which each letter is heard for one frame, with a blank after it."""
    path = [token for letter in text for token in (Letters.tokens.index(letter), Letters.blank)][:frames]
    path += [Letters.blank] * (frames - len(path))
    x = torch.zeros(frames, STEP)
    x[torch.arange(frames), path] = loud
    return x.flatten()


def clips(*texts):
    return torch.stack([says(text) for text in texts])


def hearing(wanted, said=None, garbles=False):
    spell = Letters().spell
    said = [None if text is None else spell(text) for text in (said or [None] * len(wanted))]
    return Hearing(Frames(Letters()), [spell(text) for text in wanted], said, garbles)


def spec(goal="transcribe", phrase=None, **changes):
    component = find("attack", "pgd")
    return AttackSpec(component, parse(component, {"steps": 30}), "linf", 0.6, goal=goal, phrase=phrase, **changes)


def test_scores_say_whether_exactly_the_phrase_is_heard():
    x, everyone = clips("abc", "ab", "ac", "abc"), torch.arange(4)
    scores = hearing(["abc", "abc", "abc", "acb"])(VICTIM(x), everyone)
    assert scores.argmax(1).tolist() == [1, 0, 0, 0]
    assert (scores[:, 0] == 0).all()


def test_speech_is_garbled_from_half_of_its_tokens_on():
    heard = clips("ab", "ac", "cc", "ba")
    scores = hearing(["ab"] * 4, garbles=True)(VICTIM(heard), torch.arange(4))
    rates = torch.tensor([0, 0.5, 1, 1])  # edits a token of "ab"
    assert (scores.argmax(1) == 1).tolist() == (rates < GARBLED_FROM).tolist()


def test_the_slope_of_the_lead_is_that_of_the_ctc_loss_wherever_it_stands():
    x = clips("abc", "cab").requires_grad_()
    outputs = VICTIM(x)
    lead = hearing(["abc", "abc"])(outputs, torch.arange(2))[:, 1]
    (slope,) = torch.autograd.grad(lead.sum(), x, retain_graph=True)
    targets, lengths = torch.tensor([[0, 1, 2]] * 2), torch.tensor([3, 3])
    loss = nn.functional.ctc_loss(outputs.transpose(0, 1), targets, torch.tensor([6, 6]), lengths, 3, reduction="none")
    (expected,) = torch.autograd.grad(-(loss / 3).sum(), x)
    assert torch.allclose(slope, expected, atol=1e-6)
    assert lead[0] > 0 > lead[1]
    assert math.isclose(lead[1].item(), -loss[1].item() / 3, rel_tol=1e-4)


def test_a_clip_too_short_for_the_phrase_is_told_by_its_place():
    with pytest.raises(SampleError, match="too short: it gives 6 frames, and what it is to say needs 7") as caught:
        hearing(["abc", "aabbc"])(VICTIM(clips("abc", "abc")), torch.tensor([0, 1]))
    assert caught.value.positions == [1]


def test_a_clip_too_short_for_its_words_has_no_verdict_and_stops_no_other():
    decision = hearing(["aabbc", "abc"], garbles=True)
    judged = decision.judged_by(Outputs(VICTIM(clips("abc", "abc"))))
    assert "too short" in judged.why(0) and judged.why(1) is None
    assert judged.logits[1].argmax() == 1


def test_a_draw_at_which_all_fail_leaves_what_the_others_said():
    def sometimes(x, index, purpose):
        if purpose == "judge/1":
            raise ValueError("too long a room")
        return x

    outputs = run_model(VICTIM, clips("ab", "c"), 1, draws=3, channel=sometimes)
    assert outputs.each.shape == (3, 2, 6, 4)
    assert "too long a room" in outputs.why(0)


def test_every_play_is_a_draw_and_tells_what_was_heard():
    attack = spec(phrase="abc")
    decision, goal = hearing_of(attack, ["ab", None], VICTIM), make_goal("transcribe", torch.zeros(2).long(), 1)
    x, x_adv = clips("ab", "cc"), clips("abc", "bca")
    outputs = torch.stack([VICTIM(x_adv), VICTIM(clips("abc", "abc"))])
    shown = Outputs(outputs.mean(0), {}, outputs)
    clean = Outputs(VICTIM(x), {}, torch.stack([VICTIM(x)] * 2))
    judged = decision.judged_by(shown)
    assert judged.count(goal.success).tolist() == [2, 1]
    verdicts = judge(
        VICTIM, goal, x, x_adv, Constraint("linf", 1.0, -1, 1), run_model(VICTIM, x, 4), {}, match=decision
    )
    told = decision.told(verdicts, goal, clean, shown)
    assert [v.heard for v in told] == ["abc", "bca"]
    assert [look.heard for look in told[1].looks] == ["bca", "abc"]
    assert [look.fooled for look in told[1].looks] == [False, True]
    assert [look.distance.edits for look in told[1].looks] == [2, 0]
    assert told[0].looks[0].clean_errors.length == 2 and told[0].looks[0].clean_errors.edits == 0
    assert told[1].looks[0].clean_errors is None
    assert told[1].edit_distance == 1.0
    assert [look.words.edits for look in told[1].looks] == [2, 0] and told[1].looks[0].phonemes.length == 3


def test_words_are_right_or_wrong_as_a_whole_and_sounds_whatever_the_words():
    class Marked(Letters):
        """The letter c parts words."""

        def words(self, tokens):
            return [word.split() for word in " ".join(self.written(tokens)).split("c")]

    def long(text):
        return says(text, frames=12)[None]

    decision = Hearing(Frames(Marked()), [Letters().spell("abcab")], [None], garbles=False)
    outputs = [Outputs(VICTIM(long(text))) for text in ("abab", "abcbb")]
    goal, everything = make_goal("transcribe", torch.zeros(1).long(), 1), Constraint("linf", 1.0, -1, 1)
    for heard, (edits, phonemes, words) in zip(outputs, ((1, 0, 2), (1, 1, 1)), strict=True):
        verdicts = judge(
            VICTIM, goal, long(""), long("b"), everything, run_model(VICTIM, long(""), 4), {}, match=decision
        )
        (look,) = decision.told(verdicts, goal, heard, heard)[0].looks
        assert (look.distance.edits, look.phonemes.edits, look.words.edits) == (edits, phonemes, words)
        assert (look.distance.length, look.phonemes.length, look.words.length) == (5, 4, 2)
    assert Words(str).phonemes(["call"]) is None and Words(str).words(["call", "me"]) == ["call", "me"]


@pytest.mark.parametrize("batch", [(0, 1, 2), (2, 0, 1), (1,)])
def test_pgd_makes_a_recognizer_hear_the_phrase_whatever_stands_beside_a_clip(batch):
    phrases, x = ["abc", "cab", "b"], clips("aaa"[:1], "b", "cc"[:1])

    def crafted(where):
        decision = hearing([phrases[i] for i in where])
        goal = make_goal("transcribe", torch.zeros(len(where)).long(), 1)
        oracle = Oracle(VICTIM, len(where), readout=decision)
        numbers = Randomness(0, "pgd", [str(i) for i in where])
        return pgd(oracle, goal, x[list(where)], Constraint("linf", 0.6, -1, 1), numbers, **dict(spec().params))

    made = crafted(batch)
    assert [Letters().written(path) for path in VICTIM.paths(VICTIM(made))] == [phrases[i] for i in batch]
    assert (made - x[list(batch)]).abs().max() <= 0.6 + 1e-6
    for place, i in enumerate(batch):
        assert torch.allclose(made[place], crafted((0, 1, 2))[i], atol=1e-5)


def test_sound_is_filed_in_16_bits_rounded_towards_the_clean_clip():
    x = torch.tensor([[0.1, -0.25, 0.999999, -1.0]])
    x_adv = torch.tensor([[0.10001, -0.25001, 1.0, -1.0]])
    filed = stored(x_adv, x)
    assert filed.dtype == torch.int16
    back = read_back(filed, x)
    assert (back[0, :2] - x_adv[0, :2]).abs().max() < 1 / 32768
    assert back[0, 0] <= x_adv[0, 0] and back[0, 1] >= x_adv[0, 1]
    assert filed[0, 2] == 32767 and filed[0, 3] == -32768


def test_the_recognizer_is_found_behind_its_defenses():
    assert ear_of(Defended(Defended(VICTIM))) == Frames(VICTIM.text)
    assert ear_of(nn.Linear(1, 1)) is None


def test_what_writes_text_is_judged_by_its_words():
    texts = ["Open the door.", "Open a door", ""]
    decision = Hearing(Words(lambda tokens: texts[tokens[0]]), [["open", "the", "door"]] * 3, [None] * 3, garbles=False)
    scores = decision(torch.tensor([[0.0], [1.0], [2.0]]), torch.arange(3))
    assert scores.argmax(1).tolist() == [1, 0, 0]
    assert scores[1, 1] > scores[2, 1]
    heard = decision.judged_by(Outputs(torch.tensor([[0.0], [1.0], [2.0]])))
    assert torch.equal(heard.logits, scores)


def test_speech_can_not_be_garbled_where_nobody_knows_what_is_said():
    with pytest.raises(ValueError, match="transcript must be known"):
        hearing_of(spec("garble"), ["ab", None], VICTIM)


def test_a_verdict_in_rooms_goes_through_each_once_before_any_comes_twice():
    params, numbers = Room(), Randomness(0, "channel", ["x", "y"])
    everyone, like = torch.arange(2), torch.zeros(2, 48_000)
    plays = [room.draw(params, numbers, f"judge/{draw}", everyone, like).number for draw in range(30)]
    for own in torch.stack(plays).T:
        assert sorted(own.tolist()) == list(range(30))
    assert not torch.equal(*torch.stack(plays).T)
    assert ChannelSpec(find("channel", "room"), Params()).component.task == "transcription"


# One perturbation for all clips


def universal(eps):
    component = find("attack", "universal")
    return AttackSpec(component, parse(component, {"epochs": 10, "batch": 4}), "linf", eps, goal="garble")


def test_one_perturbation_learned_on_some_clips_garbles_others():
    def batch(*texts):
        return Batch(list(texts), clips(*texts), torch.zeros(len(texts), dtype=torch.long), 1, None, texts)

    apart, others = batch("abc", "bca", "cab", "acb"), batch("bac", "cba", "aba")
    learned = fit(VICTIM, apart, universal(0.6), 0, access="gradient")
    assert learned.tensors["delta"].abs().max() <= 0.6 + 1e-6
    garbled = []
    for eps in (0.6, 0.05):
        tensors = fit(VICTIM, apart, universal(eps), 0, access="gradient").tensors
        made = craft(VICTIM, others, universal(eps), 0, access="gradient", fitted=tensors)
        match = hearing_of(universal(eps), others.transcripts, VICTIM)
        garbled.append(int((match(VICTIM(made.x_adv), torch.arange(3)).argmax(1) == 0).sum()))
    assert garbled == [2, 0]


def test_it_is_not_learned_from_clips_of_which_nobody_knows_what_they_say():
    silent = Batch(["a", "b"], clips("abc", "bca"), torch.zeros(2, dtype=torch.long), 1, None, ["abc", None])
    with pytest.raises(ValueError, match="transcript must be known"):
        fit(VICTIM, silent, universal(0.6), 0, access="gradient")
