"""What the views say of certified radii: accuracy against radius, and the distance of what breaks."""

import pytest
from small_folder import Unit

from raygrid.metrics.statistics import design_effect, wilson

SMOOTHING = {"defense": "smoothing", "defense_params": '{"sigma": 0.25}'}
RADII = {"s1": 0.35, "s2": 0.1, "s3": 0.0, "s4": None}
"""Two certified, one that abstained or was wrong, one that failed."""


def certified_unit(name, radii=RADII, status="robust", clusters=None, planned=None, cell=None, **columns):
    unit = Unit(name, dict.fromkeys(radii, status), planned, clusters=clusters, cell={**SMOOTHING, **(cell or {})})
    rows = unit.rows()
    unit.rows = lambda: [{**row, "certified_radius": radii[row["sample_id"]], **columns} for row in rows]
    return unit


def test_an_input_counts_where_the_radius_of_its_true_class_is_larger_and_failures_count_against(folder):
    folder.run(certified_unit("c.0"), Unit("d.0", {"s1": "robust"}))
    rows = folder.rows("certified")
    assert [(row["radius"], row["certified_accuracy_num"], row["certified_accuracy_den"]) for row in rows] == [
        (0.0, 2, 4), (0.1, 1, 4), (0.2, 1, 4), (0.3, 1, 4), (0.4, 0, 4),
    ]  # fmt: skip
    assert {row["defense"] for row in rows} == {"smoothing"}, "nothing is certified of a bare victim"
    assert {(row["errors"], row["missing"]) for row in rows} == {(1, 0)}
    assert rows[0]["certified_accuracy"] == 0.5
    for row in rows:
        low, high = wilson(row["certified_accuracy_num"], 4)
        assert (row["certified_accuracy_low"], row["certified_accuracy_high"]) == pytest.approx((low, high))


def test_attacks_and_shards_of_one_defended_victim_share_its_certificates(folder):
    more = {"t1": 0.2}
    cells = [certified_unit(f"{name}.{i}", radii) for name in "ab" for i, radii in enumerate((RADII, more))]
    folder.run(*cells, certified_unit("e.0", cell={"defense_params": '{"sigma": 1}'}))
    first = [row for row in folder.rows("certified") if row["radius"] == 0]
    assert [(row["defense_params"], row["certified_accuracy_num"], row["certified_accuracy_den"]) for row in first] == [
        ('{"sigma": 0.25}', 3, 5), ('{"sigma": 1}', 2, 4),
    ]  # fmt: skip


def test_other_radii_can_be_asked_for(folder):
    found = folder.run(certified_unit("c.0")).query(
        "SELECT radius, certified_accuracy_num FROM certified_at([0.05, 0.34])"
    )
    assert found.to_pylist() == [
        {"radius": 0.05, "certified_accuracy_num": 2},
        {"radius": 0.34, "certified_accuracy_num": 1},
    ]


def test_crops_of_one_photo_widen_the_interval(folder):
    radii = {f"s{i}": 0.3 * (i < 4) for i in range(8)}
    clusters = {sample: "a" if radius else sample for sample, radius in radii.items()}
    folder.run(certified_unit("c.0", radii, clusters=clusters))
    row = folder.rows("certified")[0]
    effective = 8 / design_effect([radius > 0 for radius in radii.values()], list(clusters.values()))
    assert effective < 8 and row["n_eff"] == pytest.approx(effective)
    assert row["certified_accuracy_low"] == pytest.approx(wilson(effective / 2, effective)[0])


def test_there_is_no_accuracy_while_samples_are_missing(folder):
    folder.run(certified_unit("c.0", planned=6))
    row = folder.rows("certified")[0]
    assert (row["missing"], row["certified_accuracy"], row["certified_accuracy_num"]) == (2, None, 2)


def test_without_certificates_the_views_are_empty(folder):
    folder.run(Unit("c.0", {"s1": "robust", "s2": "broken"}))
    assert folder.rows("certified") == folder.rows("certified_distance") == []


def test_radii_stand_beside_the_distances_of_what_breaks_and_abstentions_refute_nothing(folder):
    far = certified_unit("c.0", {"s1": 0.4, "s2": 0.2, "s3": 0.0}, "broken", l2=1.5, abstained=False)
    near = certified_unit("c.1", {"t1": 0.4, "t2": 0.1}, "broken", l2=0.3, abstained=True)
    folder.run(far, near, certified_unit("c.2", {"u1": 0.4}, "broken", l2=0.3, abstained=False))
    (row,) = folder.rows("certified_distance")
    assert {name: row[name] for name in ("broken", "certified", "median_radius", "median_l2", "least_l2")} == {
        "broken": 6, "certified": 5, "median_radius": pytest.approx(0.3), "median_l2": 0.9, "least_l2": 0.3,
    }  # fmt: skip
    assert (row["refuted_num"], row["refuted_den"]) == (1, 6)
