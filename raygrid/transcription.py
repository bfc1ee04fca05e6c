"""Speech as a recognizer hears it: what makes a decision of what it writes, and what a table tells of each play.

The decision of a transcription has two classes. Under the goal `transcribe`, MISSED and HEARD: whether it writes exactly what the
attacker wants. Under `garble`, GARBLED and UNDERSTOOD: whether so many errors are in what it writes of what is said. Attacks see
the scores of that decision, whose gradient is that of the CTC loss (connectionist temporal classification; Graves et al., ICML
2006), and so need to know nothing of speech. Every play through a channel is a draw.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss
from torch.nn.utils.rnn import pad_sequence

from raygrid.goals import Goal
from raygrid.judge import Look, Verdict
from raygrid.metrics.transcription import ErrorRate, plain, token_errors
from raygrid.outputs import Outputs
from raygrid.sample_errors import SampleError
from raygrid.spec import AttackSpec
from raygrid.victims.ctc_text import needed_frames
from raygrid.victims.recognizer import Recognizer, Text
from raygrid.victims.whisper import Whisper

GARBLED_FROM = 0.5
"""Errors a token of what is said, from which on speech counts as garbled."""

TINY = 1e-6
"""By how much what is not reached stays behind, however likely all its paths together are."""


class Ear(Protocol):
    """What a recognizer hears in its outputs, as tokens of its own."""

    def heard(self, outputs: Tensor) -> list[list[Any]]:
        """Return the tokens that each of the outputs [B, ...] says."""

    def spell(self, text: str) -> list[Any]:
        """Return the tokens of a text. Raises UsageError if it can't be said."""

    def shown(self, tokens: Sequence[Any]) -> str:
        """Return tokens as tables show them."""

    def words(self, tokens: Sequence[Any]) -> list[Any]:
        """Return the words that tokens make, each as something that can be compared."""

    def phonemes(self, tokens: Sequence[Any]) -> list[Any] | None:
        """Return the sounds among the tokens; None for a recognizer that writes none."""

    def loss(self, outputs: Tensor, wanted: Sequence[Sequence[Any]], index: Tensor) -> Tensor:
        """Return how far each of the outputs [B, ...], of the samples at `index`, is from saying what is wanted [B], at least 0."""


@dataclass(frozen=True)
class Frames:
    """A recognizer that gives log-probabilities of tokens, frame by frame."""

    text: Text

    def heard(self, outputs: Tensor) -> list[list[int]]:
        """Return the tokens of each of the outputs [B, frames, tokens], read greedily."""
        return [self.text.read(path) for path in outputs.argmax(-1).tolist()]

    def spell(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return self.text.spell(text)

    def shown(self, tokens: Sequence[int]) -> str:
        """Return tokens as its own text shows them."""
        return self.text.written(tokens)

    def words(self, tokens: Sequence[int]) -> list[tuple[str, ...]]:
        """Return the phonemes or the letters of each word."""
        return [tuple(word) for word in self.text.words(tokens)]

    def phonemes(self, tokens: Sequence[int]) -> list[str] | None:
        """Return the phonemes of all words; None where its tokens are letters."""
        return self.text.phonemes(tokens)

    def loss(self, outputs: Tensor, wanted: Sequence[Sequence[int]], index: Tensor) -> Tensor:
        """Return the CTC loss a token [B].

        Raises:
            SampleError: a clip has too few frames for what it is to say.
        """
        frames = outputs.shape[1]
        short = [place for place, tokens in enumerate(wanted) if needed_frames(tokens) > frames]
        if short:
            needed = max(needed_frames(wanted[place]) for place in short)
            raise SampleError(
                f"the clip is too short: it gives {frames} frames, and what it is to say needs {needed}; take a longer one",
                [int(index[place]) for place in short],
            )
        lengths = torch.tensor([len(tokens) for tokens in wanted], device=outputs.device)
        targets = pad_sequence([torch.tensor(tokens) for tokens in wanted], batch_first=True).to(outputs.device)
        full = torch.full((len(wanted),), frames, device=outputs.device)
        loss = ctc_loss(outputs.transpose(0, 1), targets, full, lengths, self.text.blank, reduction="none")
        return loss / lengths


@dataclass(frozen=True)
class Words:
    """A recognizer that writes text and tells nothing else: its words are compared as they are spoken."""

    written: Callable[[list[int]], str]
    """Its tokens -> its text."""

    def heard(self, outputs: Tensor) -> list[list[str]]:
        """Return the words of each of the outputs [B, L], tokens."""
        return [self.spell(self.written(tokens)) for tokens in outputs.long().tolist()]

    def spell(self, text: str) -> list[str]:
        """Return the words of a text."""
        return plain(text).split()

    def shown(self, tokens: Sequence[str]) -> str:
        """Return the words."""
        return " ".join(tokens)

    def words(self, tokens: Sequence[str]) -> list[str]:
        """Return the words."""
        return list(tokens)

    def phonemes(self, tokens: Sequence[str]) -> None:
        """It writes letters."""
        return

    def loss(self, outputs: Tensor, wanted: Sequence[Sequence[str]], index: Tensor) -> Tensor:
        """Return the errors a word [B], which have no gradient."""
        pairs = zip(self.heard(outputs), wanted, strict=True)
        return torch.tensor([token_errors(own, heard).edits / max(len(own), 1) for heard, own in pairs]).to(outputs)


@dataclass(frozen=True)
class Hearing:
    """The decision of a recognizer on N samples."""

    ear: Ear
    wanted: Sequence[Sequence[Any]]
    """Tokens of each: what the attacker wants to be heard, or, where he garbles, what is said."""
    said: Sequence[Sequence[Any] | None]
    """Tokens of what is truly said in each; None where nobody knows, or nobody speaks."""
    garbles: bool

    def __call__(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Return the scores [B, 2] of the decision, for outputs [B, ...] of the samples at `index`.

        The second is the lead of HEARD or UNDERSTOOD over 0: above it, between 0 and 1; else minus the loss.

        Raises:
            SampleError: a clip has too few frames for what it is to say.
        """
        wanted = [self.wanted[i] for i in index.tolist()]
        loss = self.ear.loss(outputs, wanted, index)
        reached = self._reached(outputs.detach(), wanted)
        there = loss.detach()
        lead = torch.where(reached, 1 / (1 + there), -there - TINY)
        lead = (there - loss) + lead  # the slope of the loss, wherever it stands
        return torch.stack([torch.zeros_like(lead), lead], dim=1)

    def judged_by(self, outputs: Outputs) -> Outputs:
        """Return the scores of the decisions, a draw each."""
        each = outputs.logits[None] if outputs.each is None else outputs.each
        sound = [i for i in range(each.shape[1]) if outputs.why(i) is None]
        scores = each.new_full((*each.shape[:2], 2), float("nan"), dtype=torch.float32)
        errors = dict(outputs.errors)
        for draw, some in enumerate(each):
            where, decided, unfit = self._decided(some, [i for i in sound if i not in errors])
            errors |= unfit
            if where:
                scores[draw, where] = decided
        scores[:, list(errors)] = float("nan")  # a sample that one draw has no room for has no verdict
        if len(scores) == 1:
            return Outputs(scores[0], errors, alarms=outputs.alarms)
        return Outputs(scores.mean(0), errors, scores, outputs.alarms)

    def _decided(self, outputs: Tensor, where: list[int]) -> tuple[list[int], Tensor, dict[int, str]]:
        """Return which of the samples `where` have a decision, their scores, and why others have none."""
        unfit: dict[int, str] = {}
        while True:
            where = [i for i in where if i not in unfit]
            index = torch.tensor(where, dtype=torch.long, device=outputs.device)
            try:
                return where, self(outputs[index], index) if where else outputs.new_empty(0, 2), unfit
            except SampleError as error:
                unfit |= dict.fromkeys(error.positions, str(error))

    def told(self, verdicts: list[Verdict], goal: Goal, clean: Outputs, outputs: Outputs) -> list[Verdict]:
        """Return the verdicts with what was heard at each play of the clean clip and of the example."""
        before, after = (self._heard(some) for some in (clean, outputs))
        decided = self.judged_by(outputs)
        scores = decided.logits[None] if decided.each is None else decided.each
        fooled, margins = ([f(s).tolist() for s in scores] for f in (goal.success, goal.margin))
        return [
            verdict
            if verdict.prediction is None
            else self._with_plays(
                verdict,
                i,
                [row[i] for row in fooled],
                [row[i] for row in margins],
                [draw[i] for draw in before],
                [draw[i] for draw in after],
            )
            for i, verdict in enumerate(verdicts)
        ]

    def _with_plays(
        self,
        verdict: Verdict,
        i: int,
        fooled: list[bool],
        margins: list[float],
        before: list[list[Any]],
        after: list[list[Any]],
    ) -> Verdict:
        said = self.said[i]
        plays = tuple(
            Look(
                fooled=met,
                prediction=int(met != self.garbles),
                margin=margin,
                clean_prediction=int(self._is_reached(clean, self.wanted[i])),
                heard=self.ear.shown(heard),
                clean_heard=self.ear.shown(clean),
                distance=token_errors(self.wanted[i], heard),
                clean_errors=None if said is None else token_errors(said, clean),
                phonemes=self._errors(self.ear.phonemes, i, heard),
                words=self._errors(self.ear.words, i, heard),
            )
            for met, margin, clean, heard in zip(fooled, margins, before, after, strict=True)
        )
        heard, clean_heard = (_most_common(getattr(play, name) for play in plays) for name in ("heard", "clean_heard"))
        edits = sum(play.distance.edits for play in plays if play.distance is not None)
        return replace(verdict, looks=plays, heard=heard, clean_heard=clean_heard, edit_distance=edits / len(plays))

    def _errors(self, parts: Callable[[Sequence[Any]], list[Any] | None], i: int, heard: list[Any]) -> ErrorRate | None:
        """Compare the parts of what is wanted of sample i with those of what was heard; None where there are none."""
        wanted, found = parts(self.wanted[i]), parts(heard)
        return None if wanted is None or found is None else token_errors(wanted, found)

    def _heard(self, outputs: Outputs) -> list[list[list[Any]]]:
        """Return the tokens heard at each draw of each sample; none where the recognizer failed."""
        each = outputs.logits[None] if outputs.each is None else outputs.each
        failed = [outputs.why(i) is not None for i in range(each.shape[1])]
        return [
            [[] if bad else tokens for bad, tokens in zip(failed, self.ear.heard(draw.nan_to_num()), strict=True)]
            for draw in each
        ]

    def _reached(self, outputs: Tensor, wanted: Sequence[Sequence[Any]]) -> Tensor:
        met = [self._is_reached(tokens, own) for tokens, own in zip(self.ear.heard(outputs), wanted, strict=True)]
        return torch.tensor(met, dtype=torch.bool, device=outputs.device)

    def _is_reached(self, heard: Sequence[Any], wanted: Sequence[Any]) -> bool:
        """Whether the second class is the answer: the goal's words are heard, or, where the attacker garbles, still understood."""
        if not self.garbles:
            return list(heard) == list(wanted)
        errors: ErrorRate = token_errors(wanted, heard)
        return (errors.rate or 0.0) < GARBLED_FROM


def _most_common(heard: Iterable[str | None]) -> str:
    return Counter(text or "" for text in heard).most_common(1)[0][0]


def ear_of(model: object) -> Ear | None:
    """Return what hears behind all defenses; None where nothing does."""
    while model is not None:
        if isinstance(model, Recognizer):
            return Frames(model.text)
        if isinstance(model, Whisper):
            return Words(model.written)
        model = cast(Any, model).__dict__.get("_modules", {}).get("victim")
    return None


def hearing_of(attack: AttackSpec, transcripts: Sequence[str | None], model: object) -> Hearing:
    """Return the decision that an attack faces on a recognizer.

    Args:
        attack: of the goal `transcribe`, with its phrase, or `garble`.
        transcripts: what is said in each sample, as far as that is known.
        model: the recognizer, behind its defense.

    Raises:
        ValueError: the model hears nothing, or speech is to be garbled of which nobody knows what it says.
        UsageError: the phrase can't be said, or a transcript.
    """
    ear = ear_of(model)
    if ear is None:
        raise ValueError("transcription needs a recognizer of speech")
    said = [None if text is None else ear.spell(text) for text in transcripts]
    if attack.goal == "garble":
        if None in said:
            raise ValueError("to garble speech, its transcript must be known: give data with transcripts")
        return Hearing(ear, [tokens or () for tokens in said], said, garbles=True)
    phrase = ear.spell(attack.phrase or "")
    return Hearing(ear, [phrase] * len(transcripts), said, garbles=False)
