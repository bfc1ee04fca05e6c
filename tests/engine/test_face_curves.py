"""What is said of attacks on faces besides: at thresholds of other FARs, from surrogates, and whether a detector finds the face."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from small_jobs import load, run_here, table
from test_faces_in_a_grid import ATTACKS, FAR, JUDGED, PGD, people, rows, victim

from raygrid.data.alignment import SIDE
from raygrid.data.face_detection import find_in_frame, load_nets
from raygrid.errors import UsageError
from raygrid.metrics.statistics import design_effect, wilson


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    attacks = [
        {**PGD, "photos": 2},
        ATTACKS[2],
        {**PGD, "access": "transfer", "source": victim(id="other", similarity="l2")},
    ]
    job = load(folder, data=people(folder), victims=[victim()], attacks=attacks, judge={"far": FAR})
    assert run_here(job).state == "complete"
    return job


def test_a_curve_over_fars_counts_the_same_similarities_at_other_thresholds(job):
    looks = rows(
        job,
        "SELECT cell_id, t.person, t.label, d.photo_known, d.similarity, d.clean_similarity "
        "FROM draws d JOIN trials t USING (cell_id, unit_key, sample_id)",
    )
    rates = {(r["victim"], r["people_are"], r["far_asked"]): r for r in rows(job, "FROM verification")}
    curve = rows(job, "FROM far_curve")
    fars = sorted(far for name, whose, far in rates if (name, whose) == ("tiny", "judged"))
    assert Counter(row["cell_id"] for row in curve) == Counter(
        {cell: len(fars) for cell in {k["cell_id"] for k in looks}}
    )
    for row in curve:
        at = rates["tiny", "judged", row["far_asked"]]
        assert (row["threshold"], row["far_here"], row["frr_here"], row["eer"]) == tuple(
            at[name] for name in ("threshold", "far", "frr", "eer")
        )
        assert row["carried"] is (row["far_asked"] * 6 >= 1 - 1e-9)  # of four people
        mine = [look for look in looks if look["cell_id"] == row["cell_id"]]
        for name, known, similarity in (
            ("photo", False, "similarity"),
            ("known", True, "similarity"),
            ("clean", False, "clean_similarity"),
        ):
            chosen = [look for look in mine if look["photo_known"] is known]
            hits = [(k[similarity] >= at["threshold"]) is (k["label"] == "no match") for k in chosen]
            assert (row[f"{name}_rate_num"], row[f"{name}_rate_den"]) == (sum(hits), len(hits))
            n = len(hits) / design_effect(hits, [look["person"] for look in chosen])
            ends = row[f"{name}_rate_low"], row[f"{name}_rate_high"]
            assert ends == pytest.approx(wilson(sum(hits) / len(hits) * n, n), abs=1e-9)


def test_at_the_far_that_was_asked_for_the_curve_is_the_attack_itself_and_it_falls_with_the_far(job):
    attacks = {row["cell_id"]: row for row in rows(job, "FROM face_attacks")}
    by_cell = defaultdict(list)
    for row in rows(job, "FROM far_curve ORDER BY far_asked"):
        by_cell[row["cell_id"]].append(row)
        if row["far_asked"] == FAR:
            own = attacks[row["cell_id"]]
            assert all(row[name] == own[name] for name in ("photo_rate", "known_rate", "clean_rate", "photo_rate_low"))
    assert by_cell.keys() == attacks.keys()
    for cell, line in by_cell.items():
        steps = np.diff([row["photo_rate"] for row in line])
        assert ((steps <= 0) if attacks[cell]["goal"] == "dodge" else (steps >= 0)).all() and steps.any()


def test_from_public_to_private_there_is_a_line_for_each_surrogate(job):
    (row,) = rows(job, "FROM public_to_private")
    (own,) = rows(job, "FROM face_attacks WHERE access = 'transfer'")
    assert (row["source"], row["victim"], row["photo_rate"]) == ("other", "tiny", own["photo_rate"])
    assert set(row) < set(own) and row["photo_rate_den"] == row["judged"] * JUDGED


def test_a_job_that_asks_says_in_which_examples_a_detector_finds_the_face(tmp_path):
    """Noise that nobody sees leaves it, noise that nobody sees through takes it."""
    noise = [{"use": "uniform-noise", "norm": "linf", "eps": eps, "draws": 1} for eps in ("1/255", 0.9)]
    words = {"data": {"use": "orl-faces", "limit": 6, "shard": 6}, "victims": [victim()], "attacks": noise}
    plain = load(tmp_path, **words)
    asked = load(tmp_path, **words, judge={"detector": True}, name="asked")
    for one in (plain, asked):
        assert run_here(one).state == "complete"
    assert {row["face_found"] for row in table(plain.results)} == {None}
    rates = rows(plain, "SELECT found_rate, found_rate_low, photo_rate_if_found FROM face_attacks")
    assert {value for row in rates for value in row.values()} == {None}
    nets = load_nets()
    made = {
        (row["craft_key"], row["sample_id"]): find_in_frame(
            nets, np.frombuffer(row["x_stored"], "u1").reshape(3, SIDE, SIDE)
        )
        for row in rows(asked, "FROM examples")
    }
    found = table(asked.results)
    agree = [made[row["craft_key"], row["sample_id"]] is row["face_found"] for row in found]
    assert sum(agree) >= len(agree) - 1  # rounded to the nearest level, and not towards the clean photo
    assert all(row["clean_face_found"] for row in found)
    for row in rows(asked, "FROM face_attacks"):
        own = [trial for trial in found if trial["eps"] == row["eps"]]
        seen = [trial for trial in own if trial["face_found"]]
        assert (row["found_rate_num"], row["found_rate_den"]) == (len(seen), len(own))
        assert (row["clean_found_rate_num"], row["clean_found_rate_den"]) == (6, 6)
        assert row["photo_rate_if_found_num"] == sum(trial["draws_fooled"] for trial in seen)
        assert row["photo_rate_if_found_den"] == sum(trial["draws"] for trial in seen)
        assert len(seen) == (6 if row["eps"] < 0.1 else 0)
    # Crafted nothing again, and judged nothing else.
    assert {row["craft_key"] for row in found} == {row["craft_key"] for row in table(plain.results)}
    assert not {row["unit_key"] for row in found} & {row["unit_key"] for row in table(plain.results)}


def test_there_is_no_face_to_be_found_among_digits(tmp_path):
    digits = load(tmp_path, judge={"detector": True})
    with pytest.raises(
        UsageError, match=r"judge\.detector: is for data whose faces are verified, and mnist-5k is no such data"
    ):
        run_here(digits)
