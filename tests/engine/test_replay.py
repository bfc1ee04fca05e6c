"""Recomputing one trial: the same to the bit, or what differs."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_jobs import CODE, PGD, faulty, load, marked_digits, mend, parts, run_here, shown, table

from raygrid.data import dataset
from raygrid.engine.replay import replay
from raygrid.errors import UsageError


@pytest.fixture
def job(tmp_path):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{**PGD, "eps": 0.2}])
    run_here(job)
    return job


def told(parts_):
    return "\n".join(shown(part) for part in parts_)


def first(results):
    row = table(results)[0]
    return row["unit_key"], row["sample_id"]


def test_an_undisturbed_trial_is_the_same_bit_for_bit(job, tmp_path):
    unit, sample = first(job.results)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet")}
    same, said = replay(job.results, unit[:8], sample, tmp_path / "saved")
    assert same
    assert "every column is the same, bit for bit" in told(said)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet")} == before


def test_the_example_is_saved_as_crafted_and_as_a_picture(job, tmp_path):
    unit, sample = first(job.results)
    replay(job.results, unit, sample, tmp_path / "saved")
    clean, picture = (np.asarray(Image.open(tmp_path / "saved" / f"{name}.png")) for name in ("clean", "adversarial"))
    crafted = np.load(tmp_path / "saved" / "adversarial.npy")
    assert crafted.shape == (1, 28, 28)
    assert np.abs(crafted[0] - clean / np.float32(255)).max() <= 0.2 + 1e-6
    assert np.abs(crafted[0] * 255 - picture).max() <= 1


@pytest.mark.parametrize(("column", "value", "same"), [("prediction", "no digit", False), ("margin", 42.0, True)])
def test_a_row_that_was_tampered_with_is_told_column_by_column(job, tmp_path, column, value, same):
    unit, sample = first(job.results)
    for file in [parts(job.results, "trials")[unit], *(tmp_path / "job" / "snapshot").rglob("trials.parquet")]:
        content = pq.read_table(file)
        values = content[column].to_pylist()
        places = zip(content["unit_key"].to_pylist(), content["sample_id"].to_pylist(), strict=True)
        values[list(places).index((unit, sample))] = value
        place = content.schema.get_field_index(column)
        pq.write_table(content.set_column(place, content.schema.field(place), [values]), file)
    verdict_is_the_same, said = replay(job.results, unit, sample, tmp_path)
    assert verdict_is_the_same == same
    text = told(said)
    assert "what differs" in text
    assert column in text
    assert str(value) in text


def test_a_sample_without_an_example_is_replayed_too(tmp_path):
    job = load(
        tmp_path,
        data=marked_digits(tmp_path, 20),
        victims=[faulty(tmp_path, "nan")],
        attacks=[{**PGD, "eps": 0.2}],
    )
    run_here(job)
    unit = next(row["unit_key"] for row in table(job.results) if row["sample_id"] == "20")
    same, said = replay(job.results, unit, "20", tmp_path / "saved", trust=True)
    assert same
    assert "error" in told(said)
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == ["clean.png"]


def test_a_trial_that_is_not_there_is_told(job, tmp_path):
    unit, _ = first(job.results)
    with pytest.raises(UsageError, match="no trial with a unit_key that starts with"):
        replay(job.results, unit, "no such sample", tmp_path)


def test_a_job_whose_victim_has_changed_since_is_told(tmp_path):
    code = tmp_path / "mine.py"
    code.write_text(CODE.read_text())
    mend(tmp_path)
    victim = faulty(tmp_path, "raise", target=f"{code}:make")
    job = load(tmp_path, victims=[victim], attacks=[{**PGD, "eps": 0.2}])
    run_here(job)
    unit, sample = first(job.results)
    code.open("a").write("#")
    with pytest.raises(UsageError, match=r"trust: true.*say --trust to run that code here"):
        replay(job.results, unit, sample, tmp_path)
    with pytest.raises(UsageError, match="is not in the job any more: data, weights, code or versions have changed"):
        replay(job.results, unit, sample, tmp_path, trust=True)


def test_a_job_that_says_nothing_of_shards_is_replayed_in_the_shards_that_were_usual_then(tmp_path, monkeypatch):
    data = {"use": "mnist-5k", "limit": 5}
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{**PGD, "eps": 0.2}], data=data)
    run_here(job)
    monkeypatch.setattr(dataset, "SMALL_SHARD", 2)
    same, _ = replay(job.results, *first(job.results), tmp_path / "saved")
    assert same
