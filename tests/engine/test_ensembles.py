"""A real job whose victims, and whose source, are ensembles: what is judged, fetched, trusted and replayed."""

import json

import pytest
import torch
from small_jobs import CODE, PGD, examples, faulty, load, mend, run_here, shown, table

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.engine import run as running
from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import replay
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.registry import find
from raygrid.results.open import open_results

OURS = {"ensemble": ["mnist-cnn", "mnist-cnn-adv"], "id": "ours"}
DIGITS = {"use": "mnist-5k", "limit": 16, "shard": 8}
SQUARE = {"use": "square", "norm": "linf", "eps": 0.2, "queries": 20}
FROM_OURS = {**PGD, "eps": 0.2, "access": "transfer", "source": {"ensemble": ["mnist-cnn", "mnist-cnn-distilled"]}}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    attacks = [{**PGD, "eps": 0.2}, SQUARE, FROM_OURS]
    job = load(tmp_path_factory.mktemp("ensembles"), data=DIGITS, victims=[OURS, "mnist-cnn-adv"], attacks=attacks)
    outcome = run_here(job)
    assert (outcome.state, outcome.computed, outcome.failed) == ("complete", 3 * 2 * 2, 0)
    return job


def built(name):
    component = find("victim", name)
    return resolve(component.build)(component.params(), resolve(component.identify)(component.params(), name))


def mean(x, *names):
    return sum(built(name)(x).double().softmax(1) for name in names) / len(names)


def test_it_is_judged_by_the_mean_of_its_members(job):
    rows = [
        row for row in table(job.results) if row["victim"] == "ours" and row["attack"] == "pgd" and not row["source"]
    ]
    made, data = examples(job.results), resolve(find("data", "mnist-5k").build)(find("data", "mnist-5k").params(), 16)
    clean = dict(zip(data.table.column("sample_id").to_pylist(), torch.tensor(pixels(data.table)), strict=True))
    assert len(rows) == 16 and {row["status"] for row in rows} >= {"broken"}
    for row in rows:
        bytes_, _ = made[row["craft_key"], row["sample_id"]]
        x = torch.frombuffer(bytearray(bytes_), dtype=torch.float32).view(1, 1, 28, 28)
        p = mean(x, "mnist-cnn", "mnist-cnn-adv")[0]
        assert row["prediction"] == str(int(p.argmax()))
        before = mean(clean[row["sample_id"]][None], "mnist-cnn", "mnist-cnn-adv")[0]
        assert row["clean_prediction"] == str(int(before.argmax()))


def test_a_source_of_several_is_attacked_as_one_and_judged_on_others(job):
    rows = [row for row in table(job.results) if row["source"]]
    assert {(row["victim"], row["source"]) for row in rows} == {
        ("ours", "mnist-cnn+mnist-cnn-distilled"),
        ("mnist-cnn-adv", "mnist-cnn+mnist-cnn-distilled"),
    }
    assert len({row["craft_key"] for row in rows}) == 2  # a shard each
    fooled = 0
    for (craft, sample), (bytes_, _) in examples(job.results).items():
        row = next((r for r in rows if (r["craft_key"], r["sample_id"]) == (craft, sample)), None)
        if row:
            x = torch.frombuffer(bytearray(bytes_), dtype=torch.float32).view(1, 1, 28, 28)
            fooled += str(int(mean(x, "mnist-cnn", "mnist-cnn-distilled").argmax())) != row["label"]
    assert fooled > 0


def test_a_rerun_computes_nothing(job):
    assert (run_here(job).computed, run_here(job).reused) == (0, 12)


def test_the_manifest_tells_what_each_member_is(job):
    manifest = json.loads(open_results(job.results).runs().to_pylist()[0]["manifest"])
    ours = manifest["victims"]["ours"]
    assert [member["id"] for member in ours["members"]] == ["mnist-cnn", "mnist-cnn-adv"]
    assert manifest["job"]["grids"]["digits"]["victims"][0] == {
        "ensemble": [{"use": "mnist-cnn"}, {"use": "mnist-cnn-adv"}],
        "id": "ours",
        "rule": "mean",
    }


@pytest.mark.parametrize("source", [None, "mnist-cnn+mnist-cnn-distilled"])
def test_a_trial_is_replayed_bit_for_bit(job, tmp_path, source):
    row = next(r for r in table(job.results) if r["victim"] == "ours" and r["source"] == source)
    same, said = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same
    assert "every column is the same, bit for bit" in "\n".join(map(shown, said))


def test_code_of_a_member_runs_again_only_where_it_is_trusted(tmp_path):
    mend(tmp_path)
    mine = faulty(tmp_path, "raise", target=f"{CODE}:make")
    job = load(
        tmp_path, data=DIGITS, victims=[{"ensemble": ["mnist-cnn", mine]}], attacks=[{**PGD, "eps": 0.2, "steps": 1}]
    )
    assert run_here(job).state == "complete"
    row = table(job.results)[0]
    assert row["victim"] == "mnist-cnn+faulty"
    with pytest.raises(UsageError, match=r"trust: true.*say --trust to run that code here"):
        replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert replay(job.results, row["unit_key"], row["sample_id"], tmp_path, trust=True)[0]
    with pytest.raises(UsageError, match=r'victim "faulty": target: .* unless it says so'):
        read_inputs(load(tmp_path, victims=[{"ensemble": ["mnist-cnn", {**mine, "trust": False}]}]))


def test_a_job_that_looks_into_it_is_refused_before_any_work(tmp_path):
    noise = {"use": "noise", "site": "relu1", "sigma": 0.1}
    job = load(tmp_path, data=DIGITS, victims=[OURS], defenses=[noise])
    with pytest.raises(UsageError, match='victim "ours" can\'t be cut into layers, since it is an ensemble'):
        run_here(job)


def test_weights_of_all_members_are_fetched_before_a_host_starts(tmp_path, monkeypatch):
    asked = []

    def fetch_all(assets, report):
        asked.extend(asset.name for asset in assets)
        raise UsageError("no route to host")

    monkeypatch.setattr(running, "fetch_all", fetch_all)
    pair = {"ensemble": ["efficientnet-lite0", "efficientnet-lite2"]}
    attack = {
        **PGD,
        "eps": 0.01,
        "access": "transfer",
        "source": {"ensemble": ["efficientnet-lite1", "efficientnet-lite2"]},
    }
    job = load(tmp_path, data="imagenet-samples", victims=[pair], attacks=[attack])
    executors = []
    with pytest.raises(UsageError, match="no route to host"):
        run_here(job, executors=executors)
    assert sorted(asked) == ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"] and not executors
    assert set(asked) < ASSETS.keys()
