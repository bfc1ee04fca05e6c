"""Faces from the job file to the tables, where every count is computed again from the examples that were kept."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from face_victim import embed, write_people
from PIL import Image
from small_jobs import load, parts, run_here, shown, table

from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import replay
from raygrid.engine.session import result_tables
from raygrid.results.open import open_results

CODE = Path(__file__).with_name("face_victim.py")
PEOPLE, PHOTOS = 8, 6
TRIALS = 16
KNOWN, JUDGED, FAR = 2, 3, 0.2
PGD = {"use": "pgd", "norm": "linf", "eps": "6/255", "steps": 4}


def victim(**words):
    common = {"use": "module", "target": f"{CODE}:make", "trust": True, "input": [3, 160, 160], "classes": 10}
    return {**common, "id": "tiny", "task": "verification", **words}


def people(folder, **mark):
    return {
        **write_people(folder / "people", PEOPLE, PHOTOS, **mark),
        "known": KNOWN,
        "judged": JUDGED,
        "limit": TRIALS,
        "shard": 8,
    }


def rows(job, sql):
    return open_results(job.results).query(sql).to_pylist()


ATTACKS = [
    {**PGD, "photos": [1, 2]},
    {**PGD, "photos": 2, "combine": "worst"},
    {**PGD, "goal": "dodge"},
    {"use": "uniform-noise", "norm": "linf", "eps": "6/255", "draws": 1},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return people(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def job(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("faces")
    far = {"judge": {"far": FAR}}
    job = load(folder, data=data, victims=[victim()], attacks=ATTACKS, **far)
    outcome = run_here(job)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    return job


@pytest.fixture(scope="module")
def photos(job):
    """Photo -> pixels, as the folder has them."""
    folder = Path(job.grids[0].data[0].params.path)
    return {
        f"{file.parent.name}/{file.name}": np.asarray(Image.open(file)).transpose(2, 0, 1) / 255
        for file in folder.glob("*/*.png")
    }


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def truth(job, photos):
    """Embeddings of all photos, who calibrates, and the threshold, by hand."""
    embeddings = dict(zip(photos, embed(np.stack(list(photos.values()))), strict=True))
    calibrating = {f"p{i}" for i in range(PEOPLE)} - {row["person"] for row in table(job.results)}
    names = sorted(name for name in photos if name.split("/")[0] in calibrating)
    impostors = sorted(
        cosine(embeddings[a], embeddings[b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if a.split("/")[0] != b.split("/")[0]
    )
    return embeddings, calibrating, impostors


def test_half_of_the_people_set_the_threshold_and_no_trial_shows_them(job, truth):
    _, calibrating, impostors = truth
    assert len(calibrating) == PEOPLE // 2
    found = table(job.results)
    assert not {row["target_person"] for row in found} & calibrating
    threshold = found[0]["threshold"]
    assert {row["threshold"] for row in found} == {threshold}
    accepted = sum(value >= threshold + 1e-6 for value in impostors)
    assert accepted <= FAR * len(impostors) < accepted + 2
    assert threshold == pytest.approx(impostors[-int(FAR * len(impostors)) - 1], abs=1e-5)


def trials_of(shard):
    return shard.drop_columns(["x"]).to_pylist() if "target_known" in shard.column_names else []


def test_every_decision_is_that_of_the_embeddings_of_the_example_and_of_the_photo(job, truth):
    embeddings, _, _ = truth
    made = {
        (row["craft_key"], row["sample_id"]): embed(
            np.frombuffer(row["x_adv"], "<f4").reshape(1, 3, 160, 160).astype(float)
        )[0]
        for row in rows(job, "FROM examples")
    }
    draws = defaultdict(list)
    for row in rows(job, "FROM draws"):
        draws[row["unit_key"], row["sample_id"]].append(row)
    counts = defaultdict(lambda: np.zeros(5, dtype=int))
    references = {row["sample_id"]: row for shard in read_inputs(job).shards.values() for row in trials_of(shard)}
    for trial in table(job.results):
        hides, threshold = trial["goal"] == "dodge", trial["threshold"]
        example = made[trial["craft_key"], trial["sample_id"]]
        looks = draws[trial["unit_key"], trial["sample_id"]]
        known, judged = ([look for look in looks if look["photo_known"] is part] for part in (True, False))
        assert (len(known), len(judged)) == (trial["photos"], JUDGED) == (trial["known_draws"], trial["draws"])
        assert trial["label"] == ("match" if hides else "no match")
        assert trial["target_person"] == trial["person"] if hides else trial["target_person"] != trial["person"]
        seen = [look["photo"] for look in looks]
        whose = "own" if hides else "target"
        mine = references[trial["sample_id"]]
        assert [look["photo"] for look in known] == mine[f"{whose}_known"][: trial["photos"]]
        assert [look["photo"] for look in judged] == mine[f"{whose}_judged"]
        assert len(set(seen)) == len(seen) and trial["sample_id"] not in seen
        assert {photo.split("/")[0] for photo in seen} == {trial["target_person"]}
        for look in looks:
            after, before = (cosine(e, embeddings[look["photo"]]) for e in (example, embeddings[trial["sample_id"]]))
            assert look["similarity"] == pytest.approx(after, abs=1e-5)
            assert look["clean_similarity"] == pytest.approx(before, abs=1e-5)
            if abs(after - threshold) > 1e-5:
                assert look["prediction"] == ("match" if after > threshold else "no match")
                assert look["fooled"] is ((after < threshold) if hides else (after > threshold))
        hits = sum(look["fooled"] for look in judged)
        clean = sum(look["clean_prediction"] != trial["label"] for look in judged)
        assert (trial["draws_fooled"], trial["known_fooled"]) == (hits, sum(look["fooled"] for look in known))
        assert trial["success"] is (2 * hits > JUDGED) and trial["clean_correct"] is (2 * clean < JUDGED)
        assert trial["status"] == ("clean_wrong" if 2 * clean > JUDGED else "broken" if 2 * hits > JUDGED else "robust")
        assert trial["similarity"] == pytest.approx(np.mean([look["similarity"] for look in judged]), abs=1e-6)
        counts[trial["cell_id"]] += [hits, len(judged), trial["known_fooled"], len(known), clean]
    shown_ = {row["cell_id"]: row for row in rows(job, "FROM face_attacks")}
    assert shown_.keys() == counts.keys() and len(counts) == 5
    for cell, (hits, judged, known_hits, known, clean) in counts.items():
        row = shown_[cell]
        assert (row["photo_rate_num"], row["photo_rate_den"]) == (hits, judged)
        assert (row["known_rate_num"], row["known_rate_den"]) == (known_hits, known)
        assert (row["clean_rate_num"], row["clean_rate_den"]) == (clean, judged)
        assert (row["people"], row["judged"], row["planned"]) == (PEOPLE // 2, TRIALS, TRIALS)


def test_an_attack_gains_on_photos_of_the_person_most_on_those_it_had_and_noise_of_its_size_does_not(job):
    rate = {(row["attack"], row["goal"], row["photos"], row["combine"]): row for row in rows(job, "FROM face_attacks")}
    noise = rate["uniform-noise", "impersonate", 1, "mean"]
    for goal in ("impersonate", "dodge"):
        pgd = rate["pgd", goal, 1, "mean"]
        assert pgd["photo_rate"] > pgd["clean_rate"] + 0.1 and pgd["photo_rate"] > noise["photo_rate"] + 0.1
    assert abs(noise["photo_rate"] - noise["clean_rate"]) < 0.1
    gains = rows(
        job,
        "SELECT attack, goal, photo_known, avg(d.similarity - d.clean_similarity) AS gain FROM draws d JOIN trials t "
        "USING (unit_key, sample_id) WHERE photos = 1 AND combine = 'mean' GROUP BY ALL",
    )
    gain = {(row["attack"], row["goal"], row["photo_known"]): row["gain"] for row in gains}
    assert gain["pgd", "impersonate", True] > gain["pgd", "impersonate", False] > 0.05
    assert gain["pgd", "dodge", True] < gain["pgd", "dodge", False] < -0.05
    assert abs(gain["uniform-noise", "impersonate", True]) < 0.01


def test_the_table_of_rates_is_that_of_the_photos(job, truth):
    embeddings, calibrating, _ = truth
    found = rows(job, "FROM verification ORDER BY people_are, far_asked DESC")
    for row in found:
        names = sorted(
            n for n in embeddings if (n.split("/")[0] in calibrating) is (row["people_are"] == "calibration")
        )
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        same = [cosine(embeddings[a], embeddings[b]) for a, b in pairs if a.split("/")[0] == b.split("/")[0]]
        other = [cosine(embeddings[a], embeddings[b]) for a, b in pairs if a.split("/")[0] != b.split("/")[0]]
        assert (row["far_den"], row["frr_den"]) == (len(other), len(same))
        # Of float32 and float64, one pair may fall to the other side.
        assert abs(row["far_num"] - sum(value >= row["threshold"] for value in other)) <= 1
        assert abs(row["frr_num"] - sum(value < row["threshold"] for value in same)) <= 1
        assert (row["people"], row["photos"], row["pairs_of_people"]) == (4, 4 * PHOTOS, 6)
        if row["people_are"] == "calibration":
            assert row["far"] <= row["far_asked"]
        assert row["far_low"] <= row["far"] <= row["far_high"] and row["frr_low"] <= row["frr"] <= row["frr_high"]
        assert row["eer_low"] <= row["eer"] <= row["eer_high"] and 0.5 < row["auc"] <= 1
    (fit,) = rows(job, "FROM fits")
    assert (fit["kind"], fit["samples"], fit["forwards"], fit["backwards"]) == ("enrollment", PEOPLE * PHOTOS, 1, 0)
    assert (
        {row["fit_key"] for row in found} == {fit["fit_key"]} == {row["enrollment_key"] for row in table(job.results)}
    )


def test_more_photos_are_compared_with_fewer_trial_by_trial(job):
    (row,) = rows(job, "FROM photos_gain")
    hits = {
        photos: {t["sample_id"]: t["draws_fooled"] / JUDGED for t in table(job.results) if pick(t, photos)}
        for photos in (1, 2)
    }
    by_person = defaultdict(list)
    for sample, rate in hits[2].items():
        by_person[sample.split("/")[0]].append(rate - hits[1][sample])
    gains = [np.mean(gain) for gain in by_person.values()]
    assert (row["fewer"], row["more"], row["people"]) == (1, 2, 4)
    assert row["gain"] == pytest.approx(np.mean(gains))
    half = 3.1824 * np.std(gains, ddof=1) / np.sqrt(4)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx(
        (np.mean(gains) - half, np.mean(gains) + half), rel=0.02, abs=1e-6
    )


def pick(trial, photos):
    return (trial["attack"], trial["goal"], trial["combine"], trial["photos"]) == ("pgd", "impersonate", "mean", photos)


def test_the_shown_table_says_success_on_other_photos_beside_that_on_known_ones(job):
    (text,) = (shown(one, 140) for one in result_tables(job.results))
    assert "success on photos that the attacker never had, at FAR 0.2" in text
    for row in rows(job, "FROM face_attacks"):
        assert f"{100 * row['photo_rate']:.1f} %" in text and f"{100 * row['known_rate']:.1f} %" in text


def test_the_same_command_computes_nothing_again_and_more_attacks_enroll_nobody_again(job, tmp_path):
    before = {kind: parts(job.results, kind).keys() for kind in ("trials", "fits")}
    again = run_here(job)
    assert (again.state, again.computed, again.reused) == ("complete", 0, 5 * 2)
    assert {kind: parts(job.results, kind).keys() for kind in before} == before


def test_a_trial_replays_with_its_enrollment(job, tmp_path):
    trial = next(row for row in table(job.results) if row["photos"] == 2)
    same, _ = replay(job.results, trial["unit_key"], trial["sample_id"], tmp_path, trust=True)
    assert same


def test_where_a_victim_fails_on_an_example_there_is_an_error_and_no_decision(tmp_path, job):
    attacker = min(row["sample_id"] for row in table(job.results))
    data = people(tmp_path, mark=attacker)
    faulty = load(
        tmp_path, data=data, victims=[victim(args={"faulty": True})], attacks=ATTACKS[-1:], judge={"far": FAR}
    )
    outcome = run_here(faulty)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    found = {row["sample_id"]: row for row in table(faulty.results)}
    lost = found.pop(attacker)
    assert lost["status"] == "error" and "not finite" in lost["error"]
    assert lost["similarity"] is lost["known_draws"] is lost["prediction"] is None
    assert (lost["label"], lost["person"]) == ("no match", attacker.split("/")[0])
    assert {row["status"] for row in found.values()} <= {"robust", "broken", "clean_wrong"}
    (row,) = rows(faulty, "FROM face_attacks")
    assert (row["planned"], row["judged"], row["photo_rate_den"]) == (TRIALS, TRIALS - 1, (TRIALS - 1) * JUDGED)
    hits = row["photo_rate_num"] / JUDGED
    assert (row["photo_rate_best"], row["photo_rate_worst"]) == pytest.approx((hits / TRIALS, (hits + 1) / TRIALS))
    told = shown(next(result_tables(faulty.results)), 140)
    assert "1 unknown" in told
    assert f"{100 * row['photo_rate_best']:.1f} - {100 * row['photo_rate_worst']:.1f} %" in told


def test_where_a_victim_fails_on_a_clean_photo_nothing_is_judged_and_the_rows_say_whom_they_are_about(
    tmp_path, monkeypatch, data
):
    broken = load(tmp_path, data=data, victims=[victim()], attacks=ATTACKS[-1:], judge={"far": FAR})
    with monkeypatch.context() as patch:
        patch.setattr("raygrid.engine.host.check_victim", lambda *_, **__: [])
        patch.setattr("raygrid.victims.victim.Victim.forward", lambda self, x: x.flatten(1)[:, :10] * float("nan"))
        outcome = run_here(broken)
    assert (outcome.state, outcome.computed, outcome.failed) == ("failed", 0, 2)
    for row in table(broken.results):
        assert row["status"] == "error" and "fails on 48 of 48 clean photos" in row["error"]
        assert (row["label"], row["person"]) == ("no match", row["sample_id"].split("/")[0])
        assert row["target_person"] and row["threshold"] is None
    (line,) = rows(broken, "FROM face_attacks")
    assert (line["planned"], line["judged"], line["people"], line["photo_rate"]) == (TRIALS, 0, 0, None)
    assert (line["photo_rate_best"], line["photo_rate_worst"], line["photo_rate_low"]) == (0, 1, None)
    assert not parts(broken.results, "fits")
    assert "none judged" in shown(next(result_tables(broken.results)), 140)
    again = run_here(broken)
    assert (again.state, again.failed) == ("complete", 0)


@pytest.mark.parametrize("site", ["input", "net.flatten"])
def test_behind_a_random_defense_every_draw_looks_at_every_photo(tmp_path, site, data):
    noise = {"use": "noise", "site": site, "sigma": 0.05}
    random = load(
        tmp_path,
        data={**data, "limit": 10, "shard": 10},
        victims=[victim()],
        defenses=[noise],
        attacks=[{**PGD, "photos": 2, "steps": 2, "eot": 2}],
        judge={"far": FAR, "draws": 4},
    )
    assert run_here(random).state == "complete"
    found = table(random.results)
    assert {(row["draws"], row["known_draws"]) for row in found} == {(4 * JUDGED, 4 * 2)}
    looks = defaultdict(list)
    for row in rows(random, "FROM draws ORDER BY draw"):
        looks[row["sample_id"], row["photo_known"]].append(row)
    for row in found:
        judged = looks[row["sample_id"], False]
        photos = [look["photo"] for look in judged]
        assert len(photos) == 12 and photos == photos[:JUDGED] * 4
        assert len({look["similarity"] for look in judged if look["photo"] == photos[0]}) == 4  # each draw is another
        hits = sum(look["fooled"] for look in judged)
        assert row["draws_fooled"] == hits and row["success"] is (hits > 6)
    (row,) = rows(random, "FROM face_attacks")
    passed = [
        [
            2 * sum(k["fooled"] for k in looks[s["sample_id"], False] if k["photo"] == photo) > 4
            for photo in photos_of(looks, s)
        ]
        for s in found
    ]
    assert row["any_rate_num"] == sum(map(any, passed)) and row["all_rate_num"] == sum(map(all, passed))
    assert row["known_rate_den"] == 10 * 8


def test_who_asks_for_decisions_alone_starts_from_the_photos_that_he_has(tmp_path, job, data):
    """Within eps of the clean photo, and as far as eps allows where that is not the photo of the target itself."""
    walk = {"use": "surfree", "norm": "l2", "eps": 40, "queries": 60, "photos": 2}
    by_decision = load(
        tmp_path, data={**data, "limit": 8}, victims=[victim()], attacks=[walk, ATTACKS[-1]], judge={"far": FAR}
    )
    outcome = run_here(by_decision)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    found = [row for row in table(by_decision.results) if row["attack"] == "surfree"]
    assert {row["status"] for row in found} <= {"broken", "robust", "clean_wrong"}
    assert not any("target_photos" in (row["metadata"] or "") for row in found)
    lengths = [row["l2"] for row in found if row["l2"]]  # of others the boundary is farther away
    assert len(lengths) >= len(found) / 2 and all(39.9 < length < 40.001 for length in lengths)
    (cost,) = rows(
        by_decision,
        "SELECT max(queries) AS most, min(queries) AS least, max(backwards) AS back FROM crafts WHERE queries > 1",
    )
    assert cost["most"] <= 60 and cost["back"] == 0
    (gain,) = rows(by_decision, "SELECT known_rate, photo_rate, clean_rate FROM face_attacks WHERE attack = 'surfree'")
    assert gain["known_rate"] > 0.3 and gain["photo_rate"] > gain["clean_rate"]
    # The photos that it starts from are no part of a shard's key: what else is attacked there keeps its own.
    keys = {row["unit_key"] for row in table(by_decision.results) if row["attack"] == "uniform-noise"}
    assert keys < {row["unit_key"] for row in table(job.results)}


def photos_of(looks, trial):
    return {look["photo"] for look in looks[trial["sample_id"], False]}


def test_examples_of_a_source_are_judged_by_the_threshold_of_the_victim(tmp_path, job, data):
    other = victim(id="other", similarity="l2")
    attack = {**PGD, "photos": 2, "access": "transfer", "source": victim()}
    transfer = load(tmp_path, data=data, victims=[other, victim()], attacks=[attack], judge={"far": FAR})
    assert run_here(transfer).state == "complete"
    found = defaultdict(list)
    for row in table(transfer.results):
        found[row["victim"]].append(row)
    assert {row["craft_key"] for row in found["other"]} == {row["craft_key"] for row in found["tiny"]}
    assert {row["threshold"] for row in found["tiny"]} == {row["threshold"] for row in table(job.results)}
    (threshold,) = {row["threshold"] for row in found["other"]}
    assert threshold < 0  # minus a distance
    made = {
        row["sample_id"]: embed(np.frombuffer(row["x_adv"], "<f4").reshape(1, 3, 160, 160).astype(float))[0]
        for row in rows(transfer, "FROM examples")
    }
    seen = {
        f"{file.parent.name}/{file.name}": embed(np.asarray(Image.open(file)).transpose(2, 0, 1)[None] / 255)[0]
        for file in Path(data["path"]).glob("*/*.png")
    }
    for row in rows(
        transfer, "SELECT d.* FROM draws d JOIN trials t USING (unit_key, sample_id) WHERE t.victim = 'other'"
    ):
        distance = np.linalg.norm(made[row["sample_id"]] - seen[row["photo"]])
        assert row["similarity"] == pytest.approx(-distance, abs=1e-4)
        assert row["fooled"] is (row["similarity"] > threshold)
    assert len(rows(transfer, "FROM fits")) == 2
