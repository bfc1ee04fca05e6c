"""`raygrid replay`: recompute one trial from the job that its run froze, and say what differs."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from raygrid.data.dataset import pixels
from raygrid.engine.frozen import frozen_job, frozen_units
from raygrid.engine.host import VictimHost
from raygrid.engine.inputs import read_inputs
from raygrid.engine.spectrograms import spectrograms
from raygrid.engine.work import Task, fits_of
from raygrid.errors import UsageError
from raygrid.medium import PICTURE, SOUND
from raygrid.results.folder import decode, part_name, read_examples
from raygrid.results.open import Results, open_results
from raygrid.units import Craft, Score

CHANNELS = {1, 3}
"""Numbers of channels that a picture file can show."""
ELSEWHERE = {"run", "reused", "seconds", "device", "host"}
"""Columns that say where and when a trial was computed, not what came out."""
VERDICT = ("status", "prediction", "success", "success_stored", "clean_prediction")


def replay(
    results: str, unit: str, sample: str, folder: Path, *, trust: bool = False
) -> tuple[bool, Iterator[RenderableType]]:
    """Recompute the shard of one trial, in this process and without touching the results, and save the example.

    The whole shard is computed, since float32 results depend on what stands beside a sample in a batch.

    Args:
        results: the results folder.
        unit: the first digits of the unit's key, or all.
        sample: id of the sample.
        folder: where the example is saved.
        trust: whether code that the run's job names may run here. Whoever wrote the folder wrote that job.

    Returns:
        Whether the verdict is the same, and what to tell a person.

    Raises:
        UsageError: no such trial; the job can't be planned any more (a file moved, say); or it runs code and is not trusted.
    """
    found = open_results(results)
    before = _stored(found, unit, sample)
    inputs = read_inputs(frozen_job(found, trust=trust))
    (wanted,) = frozen_units(inputs, [before["unit_key"]]).values()
    table = inputs.shards[wanted.craft.shard.key]
    now, x_adv, on_file = _recompute(wanted, inputs.shards, sample)
    row = table.column("sample_id").to_pylist().index(sample)
    files = _save(pixels(table.slice(row, 1))[0], x_adv, on_file, folder, wanted.model.info.sample_rate)
    return all(before[name] == now[name] for name in VERDICT), _tell(before, now, files)


def _stored(found: Results, unit: str, sample: str) -> dict[str, Any]:
    quoted_unit, quoted_sample = (text.replace("'", "''") for text in (unit, sample))
    rows = found.query(
        f"SELECT * FROM trials WHERE starts_with(unit_key, '{quoted_unit}') AND sample_id = '{quoted_sample}'"  # noqa: S608 - query() is sealed off
    ).to_pylist()
    keys = {row["unit_key"] for row in rows}
    if len(keys) != 1:
        what = "no trial" if not keys else f"{len(keys)} units"
        raise UsageError(f"{what} with a unit_key that starts with {unit} and sample_id {sample}")
    return dict(rows[0])


def _recompute(
    score: Score, shards: Mapping[str, pa.Table], sample: str
) -> tuple[dict[str, Any], np.ndarray | None, np.ndarray | None]:
    """Return the row of the sample, its example as crafted and as stored; without example where crafting failed."""
    with tempfile.TemporaryDirectory() as scratch:
        host = VictimHost(scratch)
        units: list[Craft | Score] = []
        unit: Score | None = score
        while unit is not None:  # what it inherited is recomputed too
            units[:0] = [unit.craft, unit]
            unit = unit.craft.parent
        tasks = [
            Task(fit.model, fit.shard.key, (fit,), "replay")
            for fit in {fit.key: fit for fit in fits_of(units)}.values()
        ]
        tasks.append(Task(score.model, score.craft.shard.key, tuple(units), "replay"))
        for report in host.run(tasks, *(shards[task.shard] for task in tasks)):
            if report.error:
                raise UsageError(f"the unit fails when it is recomputed: {report.error}")
        rows = decode(host.store.get(part_name("trials", score.key))).to_pylist()
        made = [read_examples(host.store, unit.key).to_pylist() for unit in units if isinstance(unit, Craft)]
    row = next(row for row in rows if row["sample_id"] == sample)
    latest = (example for examples in reversed(made) for example in examples if example["sample_id"] == sample)
    example = next(latest, None)
    if example is None:
        return row, None, None
    shape = tuple(example["shape"])
    return row, *(
        np.frombuffer(example[name], kind).reshape(shape)
        for name, kind in (("x_adv", "<f4"), ("x_stored", "<i2" if len(shape) == 1 else "u1"))
    )


def _save(
    clean: np.ndarray, x_adv: np.ndarray | None, on_file: np.ndarray | None, folder: Path, rate: int
) -> list[Path]:
    """Save an example and its original as people look at them, or listen to them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if clean.ndim == 1:
        for name, sound in {"clean.wav": clean, "adversarial.wav": on_file}.items():
            if sound is not None:
                files.append(folder / name)
                soundfile.write(files[-1], sound, rate, subtype="PCM_16")
        if on_file is not None:
            files.append(folder / "spectrograms.png")
            spectrograms(clean, on_file / SOUND.levels, rate).save(files[-1])
    else:
        pictures = {"clean.png": np.rint(clean * PICTURE.levels).astype(np.uint8), "adversarial.png": on_file}
        for name, picture in pictures.items():
            if picture is not None and picture.shape[0] in CHANNELS:
                files.append(folder / name)
                Image.fromarray(picture[0] if picture.shape[0] == 1 else picture.transpose(1, 2, 0)).save(files[-1])
    if x_adv is not None:
        files.append(folder / "adversarial.npy")
        np.save(files[-1], x_adv)
    return files


def _tell(before: dict[str, Any], now: dict[str, Any], files: list[Path]) -> Iterator[RenderableType]:
    differing = [name for name in now if name not in ELSEWHERE and before[name] != now[name]]
    ball = f" {now['norm']} eps {now['eps']:g}" if now["norm"] else ""
    yield f"{now['victim']}, {now['attack']}{ball}, sample {now['sample_id']}: {now['status']}"
    if differing:
        table = Table("column", "stored", "recomputed", title="what differs")
        for name in differing:
            table.add_row(name, escape(str(before[name])), escape(str(now[name])))
        yield table
    else:
        yield "every column is the same, bit for bit"
    yield "saved: " + ", ".join(map(str, files))
