"""Listed pairs of photos from the file to the tables, counted again by hand."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from face_victim import embed, write_people
from PIL import Image
from small_jobs import load, run_here, shown, table
from test_faces_in_a_grid import PGD, cosine, rows, victim

from raygrid.engine.session import result_tables
from raygrid.errors import UsageError

PEOPLE, PHOTOS = 10, 4
FAR = 0.2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photos of ten people; the list compares every second of one with the first of all others, and each with his first."""
    folder = tmp_path_factory.mktemp("pairs")
    write_people(folder, PEOPLE, PHOTOS)
    lines = ["photo_a,photo_b,same,person_a,person_b"]
    for i, j in combinations(range(PEOPLE), 2):
        lines.append(f"p{i}/1.png,p{j}/0.png,0,p{i},p{j}")
    for i in range(PEOPLE):
        lines += [f"p{i}/{k}.png,p{i}/0.png,1,p{i},p{i}" for k in range(1, PHOTOS)]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return {"use": "face-pairs", "path": str(folder / "pairs.csv"), "aligned": True, "shard": 4}


@pytest.fixture(scope="module")
def embeddings(data):
    root = Path(data["path"]).parent
    files = {f"{file.parent.name}/{file.name}": file for file in root.glob("*/*.png")}
    x = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) / 255 for file in files.values()])
    return dict(zip(files, embed(x), strict=True))


@pytest.fixture(scope="module")
def job(tmp_path_factory, data):
    job = load(tmp_path_factory.mktemp("job"), data=data, victims=[victim()], attacks=[PGD], judge={"far": FAR})
    outcome = run_here(job)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    return job


def pairs_of(data):
    lines = [line.split(",") for line in Path(data["path"]).read_text().splitlines()[1:]]
    return [(a, b, same == "1") for a, b, same, *_ in lines]


def test_listed_pairs_alone_set_the_threshold_and_are_judged(job, data, embeddings):
    judged = {row["person"] for row in table(job.results)} | {row["target_person"] for row in table(job.results)}
    assert len(judged) == PEOPLE // 2
    alike = {pair[:2]: cosine(*(embeddings[photo] for photo in pair[:2])) for pair in pairs_of(data)}
    for row in rows(job, "FROM verification"):
        inside = {True: [], False: []}
        for a, b, same in pairs_of(data):
            sides = {photo.split("/")[0] in judged for photo in (a, b)}
            if sides == {row["people_are"] == "judged"}:
                inside[same].append(alike[a, b])
        assert (row["far_den"], row["frr_den"]) == (len(inside[False]), len(inside[True])) == (10, 15)
        assert (row["people"], row["photos"], row["pairs_of_people"]) == (5, 20, 10)
        assert abs(row["far_num"] - sum(value >= row["threshold"] for value in inside[False])) <= 1
        assert abs(row["frr_num"] - sum(value < row["threshold"] for value in inside[True])) <= 1
        assert row["far_low"] <= row["far"] <= row["far_high"] and row["frr_low"] <= row["frr"] <= row["frr_high"]
        if (row["people_are"], row["far_asked"]) == ("calibration", FAR):
            assert row["far_num"] == 2
            assert {trial["threshold"] for trial in table(job.results)} == {row["threshold"]}


def test_the_photo_of_the_pair_judges_and_the_table_says_that_it_was_known(job, embeddings):
    found = table(job.results)
    assert {(row["probe_known"], row["draws"], row["known_draws"]) for row in found} == {(True, 1, 1)}
    looks = {row["sample_id"]: row for row in rows(job, "FROM draws")}
    assert len(looks) == len(found) == 10
    for row in found:
        a, b = row["sample_id"].split(" | ")
        look = looks[row["sample_id"]]
        assert (look["photo"], look["photo_known"]) == (b, True)
        assert look["clean_similarity"] == pytest.approx(cosine(embeddings[a], embeddings[b]), abs=1e-5)
        assert row["success"] is look["fooled"] is (row["known_fooled"] == 1)
        assert row["similarity"] == look["similarity"] > look["clean_similarity"]
    (line,) = rows(job, "FROM face_attacks")
    assert (line["photo_rate"], line["photo_rate_den"], line["any_rate"], line["photo_rate_worst"]) == (
        None,
        0,
        None,
        None,
    )
    assert (line["known_rate_num"], line["known_rate_den"]) == (sum(row["success"] for row in found), 10)
    (text,) = (shown(one, 140) for one in result_tables(job.results))
    assert f"{100 * line['known_rate']:.1f} %" in text


def test_other_photos_of_the_person_judge_where_they_are_asked_for(tmp_path, data):
    more = {**data, "known": 2, "judged": 1}
    job = load(tmp_path, data=more, victims=[victim()], attacks=[{**PGD, "photos": 2}], judge={"far": FAR})
    assert run_here(job).state == "complete"
    found = table(job.results)
    assert {(row["probe_known"], row["draws"], row["known_draws"]) for row in found} == {(False, 1, 2)}
    for row in rows(
        job,
        "SELECT sample_id, list(photo) FILTER (photo_known) AS known, list(photo) FILTER (NOT photo_known) AS other "
        "FROM draws GROUP BY sample_id",
    ):
        b = row["sample_id"].split(" | ")[1]
        assert b in row["known"] and len({*row["known"], *row["other"]}) == 3
    (line,) = rows(job, "FROM face_attacks")
    assert line["photo_rate_den"] == len(found) and line["known_rate_den"] == 2 * len(found)


def test_who_hides_takes_pairs_of_one_person(tmp_path, data):
    dodge = {**PGD, "goal": "dodge"}
    impostors = load(tmp_path, data=data, victims=[victim()], attacks=[dodge], judge={"far": FAR})
    with pytest.raises(
        UsageError, match="goal dodge makes no sense on the pairs of face-pairs:pairs that are attacked; say attacked: "
    ):
        run_here(impostors)
    genuine = load(
        tmp_path, data={**data, "attacked": "genuine"}, victims=[victim()], attacks=[dodge], judge={"far": FAR}
    )
    assert run_here(genuine).state == "complete"
    found = table(genuine.results)
    assert len(found) == 15 and {row["label"] for row in found} == {"match"}
    assert all(row["person"] == row["target_person"] for row in found)
    assert np.mean([row["similarity"] < row["clean_similarity"] for row in found]) == 1


def test_a_far_that_the_listed_pairs_do_not_carry_says_how_many_it_needs(tmp_path, data):
    job = load(tmp_path, data=data, victims=[victim()], attacks=[PGD], judge={"far": 0.01})
    with pytest.raises(UsageError) as error:
        run_here(job)
    (message,) = error.value.messages
    assert "far 0.01 is less than one in the 10 pairs of calibration people that the list has" in message
    assert "it needs 100 pairs, or a far of 0.1 or more" in message
