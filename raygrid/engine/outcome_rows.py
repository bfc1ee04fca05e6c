"""What a host computed as rows of the result tables."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from raygrid.batch import Batch
from raygrid.engine.rows import Row
from raygrid.judge import NO_ANSWER, Verdict
from raygrid.kernel import Crafted
from raygrid.medium import stored
from raygrid.units import Craft, Score


def craft_rows(unit: Craft, batch: Batch, made: Crafted, table: pa.Table) -> tuple[list[Row], list[Row]]:
    """Return what crafting cost, a row a sample, and the examples, a row each that was made here."""
    n = len(batch.ids)
    costs = [
        {
            "craft_key": unit.key,
            "sample_id": sample,
            "status": "inherited" if made.kept[i] else "error" if i in made.failures else "crafted",
            "error": made.failures.get(i),
            "forwards": made.forwards[i],
            "backwards": made.backwards[i],
            "queries": made.forwards[i],
            "zero_gradients": made.zero_gradients[i],
            "false_gradients": made.false_gradients[i],
            "parent_key": unit.parent.key if unit.parent is not None else None,
            "fit_key": unit.fit.key if unit.fit is not None else None,
            "seconds": made.seconds / n,
            "attack_claimed": made.claimed[i],
        }
        for i, sample in enumerate(batch.ids)
    ]
    on_file = stored(made.x_adv, batch.x).cpu().numpy()
    x_adv = made.x_adv.cpu().numpy()
    dtype = str(table.schema.field("x").type.value_type)
    examples = [
        {
            "craft_key": unit.key,
            "sample_id": sample,
            "shape": list(x_adv[i].shape),
            "dtype": dtype,
            "x_adv": x_adv[i].astype("<f4").tobytes(),
            "x_stored": on_file[i].tobytes(),
        }
        for i, sample in enumerate(batch.ids)
        if i not in made.failures and not made.kept[i]
    ]
    return costs, examples


def verdict_row(verdict: Verdict, claimed: bool | None, answers: Sequence[str] | None = None) -> Row:
    """Return the columns of a trial that are the verdict's; `answers`: what tables call its classes, where not by their numbers."""
    row = asdict(verdict)
    on_file = row.pop("stored") or {}
    row |= {f"{name}_stored": value for name, value in on_file.items() if name != "snr_db"}
    del row["looks"]
    for name in ("clean_prediction", "prediction"):
        row[name] = None if row[name] is None else _text(row[name], answers)
    heard, clean_heard = row.pop("heard"), row.pop("clean_heard")
    if heard is not None:
        row |= {"prediction": heard, "clean_prediction": clean_heard}
    if answers is not None or heard is not None:
        row["confidence"] = None  # two scores that are a similarity and a threshold make no probability
    return {**row, "attack_claimed": claimed}


def draw_rows(
    score: Score,
    sample_id: str,
    verdict: Verdict,
    answers: Sequence[str] | None = None,
    plays: Mapping[str, Sequence[Any]] | None = None,
) -> Iterator[Row]:
    """Yield the rows of the draws that a sample was judged by; none where there was only one, of faces and speech one at least.

    Args:
        score: the unit.
        sample_id: the sample.
        verdict: on it.
        answers: what tables call its classes, where not by their numbers.
        plays: what a channel of sound drew for each draw.
    """
    for draw, look in enumerate(verdict.looks):
        play = draw if look.play is None else look.play
        yield {
            "unit_key": score.key,
            "sample_id": sample_id,
            "draw": draw,
            "fooled": look.fooled,
            "prediction": _text(look.prediction, answers) if look.heard is None else look.heard,
            "margin": look.margin,
            "clean_prediction": _text(look.clean_prediction, answers) if look.heard is None else look.clean_heard,
            "photo": look.photo,
            "photo_known": None if look.photo is None else look.known,
            "similarity": look.similarity,
            "clean_similarity": look.clean_similarity,
            "edits": None if look.distance is None else look.distance.edits,
            "edits_of": None if look.distance is None else look.distance.length,
            "clean_edits": None if look.clean_errors is None else look.clean_errors.edits,
            "clean_edits_of": None if look.clean_errors is None else look.clean_errors.length,
            "phoneme_edits": None if look.phonemes is None else look.phonemes.edits,
            "phoneme_edits_of": None if look.phonemes is None else look.phonemes.length,
            "word_edits": None if look.words is None else look.words.edits,
            "word_edits_of": None if look.words is None else look.words.length,
            "play": None if plays is None else json.dumps({name: values[play] for name, values in plays.items()}),
        }


def _text(answer: int, answers: Sequence[str] | None) -> str:
    """Return an answer as tables hold it."""
    return "abstain" if answer == NO_ANSWER else str(answer) if answers is None else answers[answer]
