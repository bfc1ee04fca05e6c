"""The view `geometry_shares`: curves, their intervals over clustered draws, and what a person reads of them."""

from itertools import chain

import pytest
from small_folder import CELL, Unit, key

from raygrid.errors import UsageError
from raygrid.metrics.statistics import design_effect, wilson
from raygrid.results.columns import table
from raygrid.results.folder import encode, part_name
from raygrid.results.geometry import labels, reading_table, shares_of
from raygrid.results.geometry_plot import check_plot, save_plot
from raygrid.results.schema import GEOMETRY, PAIR

DRAWS = 10
PLACE = {
    "attack_params": '{"steps": 5}',
    "awareness": "none",
    "site": "relu3",
    "place": 7,
    "original_norm": 2.0,
    "radius_unit": "norm",
    "draws": DRAWS,
    "original_class": "3",
    "example_class": "5",
    **{name: CELL[name] for name in PAIR if name in CELL},
}


def counted(sample, counts, center="example", radius=0.5, name="k", **columns):
    """Rows of one center and radius: class -> how many directions."""
    at = {**PLACE, "geometry_key": key(name), "unit_key": key("u"), "craft_key": key("u"), "sample_id": sample}
    at |= {"cluster": sample, "distance": 1.0, "center": center, "radius": radius, **columns}
    return [{**at, "class": c, "count": n} for c, n in counts.items()]


@pytest.fixture
def shares(folder):
    folder.run(Unit("a.0", {"s1": "broken"}))

    def look(*rows, name="k"):
        folder.store.put(part_name("geometry", key(name)), encode(table(chain.from_iterable(rows), GEOMETRY)))
        return folder.results().query(shares_of(key(name))).to_pylist()

    return look


def test_each_curve_counts_its_class_around_its_center(shares):
    found = shares(
        counted("s1", {"3": 4, "5": 5, None: 1}),
        counted("s2", {"3": 1, "5": 2, "0": 7}, distance=3.0),
        counted("s1", {"3": 9, "5": 1}, "original"),
        counted("s2", {"3": 10}, "original", distance=3.0),
    )
    curves = {(row["center"], row["of_class"]): (row["share_num"], row["share_den"], row["share"]) for row in found}
    assert curves == {
        ("original", "original"): (19, 20, 0.95),
        ("example", "example"): (7, 20, 0.35),
        ("example", "original"): (5, 20, 0.25),
    }
    assert {(row["samples"], row["mean_distance"], row["mean_original_norm"]) for row in found} == {(2, 2.0, 2.0)}


def test_the_interval_knows_that_draws_around_one_sample_are_not_independent(shares):
    hits = {"s1": 10, "s2": 9, "s3": 2, "s4": 0, "s5": 3}
    clusters = {"s1": "photo", "s2": "photo", "s3": "s3", "s4": "s4", "s5": "s5"}
    rows = [counted(s, {"5": n, "0": DRAWS - n}, cluster=clusters[s]) for s, n in hits.items()]
    (row,) = (row for row in shares(*rows) if row["of_class"] == "example")
    values = [i < n for n in hits.values() for i in range(DRAWS)]
    n_eff = len(values) / design_effect(values, [clusters[s] for s in hits for _ in range(DRAWS)])
    assert n_eff < 5
    low, high = wilson(row["share"] * n_eff, n_eff)
    assert (row["share_low"], row["share_high"]) == pytest.approx((low, high))


def test_a_class_that_is_never_seen_has_a_share_of_0_and_as_many_draws(shares):
    found = shares(counted("s1", {"0": DRAWS}), counted("s2", {"0": DRAWS}))
    assert {(row["share_num"], row["share_den"], row["share_low"]) for row in found} == {(0, 20, 0.0)}
    assert all(row["share_high"] == pytest.approx(wilson(0, 2)[1]) for row in found)


def test_pairs_that_are_answered_alike_and_other_questions_stay_out(shares):
    shares(counted("s3", {"5": DRAWS}, name="another"), name="another")
    found = shares(counted("s1", {"5": DRAWS}), counted("s2", {"3": DRAWS}, example_class="3"))
    assert {(row["samples"], row["share_den"]) for row in found} == {(1, 10)}


def test_a_person_reads_a_line_a_radius_with_what_tells_attacks_apart(shares):
    found = shares(
        counted("s1", {"5": 10}, radius=0.0),
        counted("s1", {"3": 10}, "original", radius=0.0),
        counted("s1", {"5": 4, "3": 6}, radius=2.0),
        counted("s1", {"3": 10}, "original", radius=2.0),
        counted("s1", {"5": 10}, radius=0.0, attack_params='{"steps": 9}'),
        counted("s1", {"5": 10}, radius=0.0, awareness="input"),
    )
    assert sorted(", ".join(lines) for lines in labels(found).values()) == [
        "lite0, pgd, linf 0.5, aware of input",
        "lite0, pgd, linf 0.5, aware of none, steps 5",
        "lite0, pgd, linf 0.5, aware of none, steps 9",
    ]
    read = [row for row in reading_table(found).to_pylist() if row["attack"].endswith("steps 5")]
    assert [(row["radius"], row["site"], row["samples"], row["distance"]) for row in read] == [
        (0.0, "relu3", 1, 1.0),
        (2.0, "relu3", 1, 1.0),
    ]
    assert read[1]["example's class at example"].startswith("0.40 (")
    assert read[1]["original's class at example"].startswith("0.60 (")
    assert read[1]["original's class at original"].startswith("1.00 (")


def test_the_plot_is_a_picture_that_needs_no_network(shares, tmp_path):
    pytest.importorskip("vl_convert", reason="pip install 'raygrid[plots]'")
    pytest.importorskip("altair", reason="pip install 'raygrid[plots]'")
    rows = [counted("s1", {"5": 10 - r, "3": r}, radius=float(r), place=p, site=s) for r in range(4) for p, s in SITES]
    rows += [counted("s1", {"5": 10}, radius=1.0, awareness="input")]
    file = tmp_path / "new" / "shares.svg"
    check_plot(file)
    save_plot(shares(*rows), file)
    drawn = file.read_text()
    assert drawn.startswith("<svg")
    assert not {"<script", "href", "@import"} & set(drawn.split())
    assert [drawn.count(f">{text}<") for text in ("input", "relu3")] == [1, 2]
    assert "lite0, pgd, linf 0.5, aware of input" in drawn
    assert "example's class around the example" in drawn


SITES = ((0, "input"), (7, "relu3"))


def test_another_kind_of_file_and_an_empty_plot_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a plot is an \.svg or \.png file"):
        check_plot(tmp_path / "shares.html")
    with pytest.raises(UsageError, match="nothing to draw"):
        save_plot([], tmp_path / "shares.svg")
