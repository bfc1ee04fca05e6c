"""`judge: {stored: true}`, and the rows of single draws."""

import numpy as np
import pytest
from small_jobs import PGD, load, run_here, table

from raygrid.engine.inputs import read_inputs
from raygrid.errors import UsageError
from raygrid.results.open import open_results

FEW = {"use": "mnist-5k", "limit": 16, "shard": 8}
ATTACK = {**PGD, "eps": 0.1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    jobs = {
        stored: load(
            folder,
            name=f"stored-{stored}",
            data=FEW,
            victims=["mnist-cnn"],
            defenses=["none", {"use": "noise", "site": "relu2", "sigma": 0.5}],
            attacks=[{**ATTACK, "eot": 2}],
            judge={"draws": 4, "stored": stored},
        )
        for stored in (False, True)
    }
    for job in jobs.values():
        run_here(job)
    return jobs


def test_the_copy_that_a_file_can_hold_is_the_headline_where_a_grid_says_so(runs):
    crafted, stored = ({(r["defense"], r["sample_id"]): r for r in table(runs[s].results)} for s in (False, True))
    assert {row["judged"] for row in crafted.values()} == {"crafted"}
    assert {row["judged"] for row in stored.values()} == {"stored"}
    assert all(row["success"] == row["success_stored"] for row in stored.values())
    assert all("stored" in row["cell_id"] for row in stored.values())
    # A first success as floats may not survive rounding: what is judged as a file is crafted to the end.
    bare = [[row for (defense, _), row in rows.items() if defense == "none"] for rows in (crafted, stored)]
    assert not {row["craft_key"] for row in bare[0]} & {row["craft_key"] for row in bare[1]}
    fell = [sum(bool(row["success_stored"]) for row in rows) for rows in bare]
    assert fell[1] >= fell[0]


def test_every_draw_has_its_row_and_the_trial_counts_them(runs):
    results = open_results(runs[False].results)
    counted = results.query(
        "SELECT any_value(t.draws) AS draws, any_value(t.draws_fooled) AS draws_fooled, count(*) AS n, "
        "count_if(d.fooled) AS fooled, list(d.draw ORDER BY d.draw) AS draw "
        "FROM trials t JOIN draws d USING (unit_key, sample_id) WHERE t.success IS NOT NULL GROUP BY t.unit_key, t.sample_id"
    ).to_pylist()
    assert len(counted) == 32
    assert all(row["n"] == row["draws"] == 4 and row["fooled"] == row["draws_fooled"] for row in counted)
    assert {tuple(row["draw"]) for row in counted} == {(0, 1, 2, 3)}


def test_draws_of_a_bare_victim_are_all_the_same_and_those_of_noise_are_not(runs):
    spread = open_results(runs[False].results).query(
        "SELECT t.defense, max(s) AS widest FROM (SELECT unit_key, sample_id, stddev_pop(margin) AS s FROM draws GROUP BY ALL) "
        "JOIN trials t USING (unit_key, sample_id) GROUP BY t.defense"
    )
    widest = {row["defense"]: row["widest"] for row in spread.to_pylist()}
    assert widest["none"] < 1e-5 and widest["noise"] > 0.1


def test_clean_inputs_are_rounded_to_files_as_well(tmp_path):
    file = tmp_path / "digits.npz"
    x = np.random.default_rng(0).random((6, 1, 28, 28), dtype=np.float32)
    np.savez(file, x=x, y=np.arange(6))
    data = {"use": "npz", "path": str(file), "layout": "NCHW", "classes": 10}
    jobs = [
        load(tmp_path, name=f"s{s}", data=data, victims=["mnist-cnn"], attacks=[ATTACK], judge={"stored": s})
        for s in (False, True)
    ]
    (exact,), (rounded,) = (list(read_inputs(job).shards.values()) for job in jobs)
    assert np.array_equal(rounded.column("x").combine_chunks().to_numpy_ndarray(), np.rint(255 * x).astype(np.uint8))
    assert exact.column("x").combine_chunks().to_numpy_ndarray().dtype == np.float32


def test_an_eps_below_a_level_is_refused(tmp_path):
    job = load(
        tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[{**ATTACK, "eps": "0.5/255"}], judge={"stored": True}
    )
    with pytest.raises(UsageError, match=r"is less than a level, 1/255, and judge\.stored shows files"):
        read_inputs(job)
