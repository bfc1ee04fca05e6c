"""Lists of pairs of photos: what is read, what is refused and where, who sets thresholds, and who attacks as whom."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raygrid.component import resolve
from raygrid.data.alignment import SIDE
from raygrid.data.catalog import FACE_PAIRS, FacePairsParams
from raygrid.data.listed_pairs import listed, make_pair_trials
from raygrid.data.pairs import CALIBRATION, REFERENCES
from raygrid.errors import UsageError

PEOPLE = "abcdefgh"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Frames of eight people, four each: a/0.png is the first of a."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for person in PEOPLE:
        (folder / person).mkdir()
        for number in range(4):
            frame = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(frame).save(folder / person / f"{number}.png")
    return folder


@pytest.fixture
def read(root, tmp_path):
    """Write a list of pairs and read it."""

    def read(text, name="pairs.csv", **words):
        file = tmp_path / name
        file.write_text(text)
        params = FacePairsParams(path=str(file), root=str(root), aligned=True, **words)
        return resolve(FACE_PAIRS.build)(params, None)

    return read


def all_pairs(named=False, splits=None, people=PEOPLE):
    """A list of every first photo with every other first photo, and with the person's own second and third."""
    head = "photo_a,photo_b,same" + ",person_a,person_b" * named + ",split" * (splits is not None)
    pairs = [(f"{p}/0.png", f"{q}/0.png", 0) for p in people for q in people if p != q and p < q]
    pairs += [(f"{p}/0.png", f"{p}/{k}.png", 1) for p in people for k in (1, 2)]
    lines = [head]
    for a, b, same in pairs:
        sides = {splits(a[0]), splits(b[0])} if splits else set()
        if len(sides) > 1:
            continue
        lines.append(",".join([a, b, str(same), *([a[0], b[0]] if named else []), *sides]))
    return "\n".join(lines) + "\n"


def messages(read, *args, **words):
    with pytest.raises(UsageError) as error:
        read(*args, **words)
    return list(error.value.messages)


def test_photos_are_read_once_and_pairs_as_they_stand(read, root):
    found = read(all_pairs())
    assert found.table.num_rows == 8 * 3 and len(found.pairs) == 28 + 16
    pixels = found.table.column("x").combine_chunks().to_numpy_ndarray()
    for name, x in zip(found.table["sample_id"].to_pylist(), pixels, strict=True):
        assert np.array_equal(x, np.asarray(Image.open(root / name)).transpose(2, 0, 1))
    # Whom they show follows from pairs of one person.
    assert found.table["cluster"].to_pylist() == [f"{n[0]}/0.png" for n in found.table["sample_id"].to_pylist()]
    assert "Nobody says whom the photos show" in found.notes


def test_people_that_are_named_are_the_clusters_and_nothing_is_guessed(read):
    found = read(all_pairs(named=True))
    assert found.table["person"].to_pylist() == [n[0] for n in found.table["sample_id"].to_pylist()]
    assert found.class_names == tuple(PEOPLE) and found.notes == ""


def test_photos_that_pairs_join_in_a_chain_show_one_person(read):
    found = read(
        "photo_a,photo_b,same\nb/1.png,b/2.png,yes\na/0.png,b/3.png,no\nb/3.png,b/2.png,True\nb/1.png,b/0.png,1\n"
    )
    shows = dict(zip(found.table["sample_id"].to_pylist(), found.table["cluster"].to_pylist(), strict=True))
    assert len({shows[f"b/{k}.png"] for k in range(4)}) == 1 != shows["a/0.png"]


def test_parquet_says_the_same_as_csv(read, tmp_path, root):
    rows = [line.split(",") for line in all_pairs(named=True).splitlines()]
    columns = {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}
    columns["same"] = [value == "1" for value in columns["same"]]
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    params = FacePairsParams(path=str(tmp_path / "pairs.parquet"), root=str(root), aligned=True)
    found, text = resolve(FACE_PAIRS.build)(params, None), read(all_pairs(named=True))
    assert found.pairs == text.pairs and found.table.equals(text.table)


BAD = {
    "a photo that there is not": (
        "a/0.png,b/0.png,0\na/0.png,b/9.png,0\nz/0.png,a/0.png,0\n",
        [r':3: photo_b: there is no "b/9.png" in ".*"; did you mean', r':4: photo_a: there is no "z/0.png" in'],
    ),
    "no such word": ("a/0.png,b/0.png,maybe\n", [r':2: same: one of 1, true, yes, 0, false, no, not "maybe"']),
    "an empty field": ("a/0.png,,1\n", [":2: photo_b is empty"]),
    "a photo with itself": ("a/0.png,a/0.png,1\n", [':2: "a/0.png" is compared with itself']),
    "a pair twice": (
        "a/0.png,b/0.png,0\nb/0.png,a/0.png,0\n",
        [r':3: "b/0.png" and "a/0.png" are a pair already, see .*:2'],
    ),
    "a contradiction": (
        "a/0.png,a/1.png,1\na/1.png,a/2.png,1\na/0.png,a/2.png,0\n",
        [':4: "a/0.png" and "a/2.png" show two people, and other pairs say that they show one'],
    ),
    "no pairs": ("", [r'path: ".*pairs.csv" has no pairs']),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_list_is_said_with_its_line(read, case):
    lines, wanted = BAD[case]
    found = messages(read, "photo_a,photo_b,same\n" + lines)
    assert len(found) == len(wanted)
    for message, pattern in zip(found, wanted, strict=True):
        assert re.search(pattern, message), message


def test_columns_that_are_missing_are_named(read):
    (found,) = messages(read, "photo_a,photob,same\na,b,1\n")
    assert re.search('has no column "photo_b"; did you mean "photob"', found)
    (found,) = messages(read, "photo_a,photo_b,same,person_a\na,b,1,x\n")
    assert "has person_a alone; name both persons of a pair, or none" in found


def test_people_that_contradict_the_pair_or_each_other_are_named(read):
    head = "photo_a,photo_b,same,person_a,person_b\n"
    (found,) = messages(read, head + "a/0.png,b/0.png,1,ann,bob\n")
    assert found.endswith(":2: same is 1, and the photos show ann and bob")
    (found,) = messages(read, head + "a/0.png,b/0.png,0,ann,bob\na/0.png,c/0.png,0,eve,cat\n")
    assert found.endswith(':3: "a/0.png" shows eve, and before it was said to show ann')


def test_a_long_list_of_mistakes_is_cut_short(read):
    found = messages(read, "photo_a,photo_b,same\n" + "".join(f"a/0.png,x/{k}.png,0\n" for k in range(30)))
    assert len(found) == 11 and found[-1] == "20 more of the like"


# Trials


def test_half_of_the_people_set_thresholds_and_pairs_across_count_nowhere(read):
    photos = read(all_pairs(named=True))
    trials, gallery, apart = make_pair_trials(photos, 0)
    calibrating = set(apart["cluster"].to_pylist())
    assert len(calibrating) == 4
    assert gallery[CALIBRATION].to_pylist() == [n[0] in calibrating for n in gallery["sample_id"].to_pylist()]
    names = gallery["sample_id"].to_pylist()
    for calibration in (True, False):
        found = {(names[i], names[j]) for i, j in listed(gallery, calibration=calibration)}
        assert found == {
            pair[:2] for pair in photos.pairs if all((photo[0] in calibrating) is calibration for photo in pair[:2])
        }
    rows = trials.table.drop_columns(["x"]).to_pylist()
    assert {(row["person"], row["target"]) for row in rows} == {
        (p, q) for p in PEOPLE for q in PEOPLE if p < q and not {p, q} & calibrating
    }
    for row in rows:  # the photo of the pair is what is known, and judges
        a, b = row["sample_id"].split(" | ")
        assert (row["cluster"], row["target_known"], row["target_judged"]) == (a[0], [b], [b])


def test_a_split_that_the_list_states_is_kept_to(read):
    splits = lambda person: "calibration" if person in "aceg" else "judged"  # noqa: E731
    photos = read(all_pairs(named=True, splits=splits))
    _, gallery, apart = make_pair_trials(photos, 0)
    assert set(apart["cluster"].to_pylist()) == set("aceg")
    assert len(listed(gallery, calibration=True)) == len(listed(gallery, calibration=False)) == 6 + 8
    with pytest.raises(
        UsageError, match=r"splits\.fit: the pairs of face-pairs:pairs say themselves which set thresholds"
    ):
        make_pair_trials(photos, 4)


def test_nobody_sets_thresholds_and_is_judged(read):
    head = "photo_a,photo_b,same,split\n"
    found = messages(read, head + "a/0.png,b/0.png,0,calibration\na/0.png,c/0.png,0,judged\n")
    assert [message.partition(".csv")[2].partition(", see")[0] for message in found] == [
        ":3: a/0.png is judged here and calibration before"
    ]
    (found,) = messages(read, head + "a/0.png,b/0.png,0,test\n")
    assert found.endswith(':2: split: one of calibration, judged, not "test"')


@pytest.mark.parametrize(("attacked", "same"), [("impostor", False), ("genuine", True)])
def test_other_photos_of_the_person_judge_where_they_are_asked_for(read, attacked, same):
    trials = make_pair_trials(read(all_pairs(named=True), attacked=attacked, judged=1), 0)[0]
    rows = trials.table.drop_columns(["x"]).to_pylist()
    assert rows
    for row in rows:
        a, b = row["sample_id"].split(" | ")
        assert (a[0] == b[0]) is same
        known, judged, *own = (row[name] for name in REFERENCES)
        assert known == [b] and len(judged) == 1 and judged[0][0] == b[0] and judged[0] not in (a, b)
        assert own == [known, judged]


def test_pairs_of_people_with_too_few_photos_are_named_or_left_out(read):
    with pytest.raises(
        UsageError, match=r"of 6 pairs .* fewer than 4 photos in the list besides photo_a, 2 known and 2 that judge"
    ):
        make_pair_trials(read(all_pairs(named=True), known=2, judged=2), 0)
    more = all_pairs(named=True)
    person = max(set(PEOPLE) - set(make_pair_trials(read(more), 0)[2]["cluster"].to_pylist()))
    extra = f"{person}/0.png,{person}/3.png,1,{person},{person}\n"
    trials = make_pair_trials(read(more + extra, known=2, judged=2, few_photos="skip"), 0)[0]
    assert set(trials.table["target"].to_pylist()) == {person}


def test_a_side_without_pairs_of_one_person_or_of_two_is_refused(read):
    genuine = "photo_a,photo_b,same\n" + "".join(f"{p}/0.png,{p}/1.png,1\n" for p in PEOPLE)
    with pytest.raises(UsageError, match="of the pairs that set thresholds, none shows two people"):
        make_pair_trials(read(genuine), 0)


def test_neither_order_nor_other_pairs_change_a_trial(read):
    text = all_pairs(named=True)
    head, *lines = text.splitlines()
    whole, mixed = (
        {row["sample_id"]: row for row in make_pair_trials(read(some), 0)[0].table.drop_columns(["x"]).to_pylist()}
        for some in (text, "\n".join([head, *lines[::-1]]))
    )
    assert whole == mixed and list(whole) == list(mixed)
