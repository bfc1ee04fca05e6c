"""The built-in data: what is in it, in which order, and that a limit changes nothing but how much there is."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from raygrid.component import resolve
from raygrid.data.dataset import fingerprint, pixels
from raygrid.data.images import cut
from raygrid.data.labels import interleave
from raygrid.data.make_tiles import LARGEST_OVERLAP, NETS, SMALLEST, agreement, apart, candidates, load_nets, overlap
from raygrid.data.tiles import Tile, crops, read_photos, read_tiles, write_tiles
from raygrid.registry import find, of_kind

BUILT_IN = {
    "imagenet-samples": (20, (3, 224, 224), 1000),
    "cifar10-samples": (20, (3, 32, 32), 10),
    "mnist-5k": (1000, (1, 28, 28), 10),
    "road-signs": (1200, (3, 32, 32), 12),
    "orl-faces": (400, (3, 160, 160), 40),
    "photo-tiles": (len(read_tiles()), (3, 224, 224), 1000),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_has_its_samples_and_says_where_they_are_from(name, build):
    count, shape, classes = BUILT_IN[name]
    dataset = build(name)
    assert (dataset.table.num_rows, dataset.shape, dataset.classes) == (count, shape, classes)
    assert dataset.license
    assert dataset.source


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_limit_gives_the_same_first_samples_and_shards(name, build):
    whole, few = build(name, limit=16), build(name, limit=8)
    assert [shard.key for shard in few.shards(4)] == [shard.key for shard in whole.shards(4)][:2]
    assert fingerprint(few.table) == fingerprint(whole.table.slice(0, 8))


def test_the_first_ten_digits_are_the_ten_digits(build):
    assert build("mnist-5k", limit=10).table["label"].to_pylist() == list(range(10))


def test_the_splits_of_the_digits_are_balanced_and_share_nothing(build):
    ids = {}
    for split, each in {"held-out": 100, "train": 400, "all": 500}.items():
        table = build("mnist-5k", split=split).table
        assert Counter(table["label"].to_pylist()) == dict.fromkeys(range(10), each)
        ids[split] = set(table["sample_id"].to_pylist())
    assert ids["held-out"] | ids["train"] == ids["all"]
    assert not ids["held-out"] & ids["train"]


@pytest.mark.parametrize("name", ["imagenet-samples", "cifar10-samples"])
def test_labels_are_those_of_the_file_names(name, build):
    table = build(name).table
    named = [int(sample_id.rpartition("_")[2]) for sample_id in table["sample_id"].to_pylist()]
    assert named == table["label"].to_pylist()


def test_the_photos_keep_their_size_where_the_job_asks_for_another(build):
    assert build("imagenet-samples", limit=1, size=96).shape == (3, 96, 96)


@pytest.fixture(scope="module")
def nets():
    return load_nets()


@pytest.mark.parametrize("net", range(3), ids=NETS)
def test_each_lite_net_names_18_of_the_20_photos(net, nets, build):
    table = build("imagenet-samples").table
    with torch.no_grad():
        answers = nets[net](torch.from_numpy(pixels(table))).argmax(1).numpy()
    assert (answers == table["label"].to_numpy()).sum() == 18


def test_there_are_enough_tiles_of_enough_photos_and_hardly_any_repeats_another():
    tiles = read_tiles()
    assert len(tiles) >= 500
    assert len({tile.photo for tile in tiles}) >= 25
    assert min(tile.side for tile in tiles) >= SMALLEST
    pairs = [(a, b) for a in tiles for b in tiles if a.photo == b.photo and a.box < b.box]
    assert max(overlap(a.box, b.box) for a, b in pairs) <= LARGEST_OVERLAP


def test_the_first_tiles_show_every_photo_and_share_a_cluster_with_their_photo(build):
    photos = {tile.photo for tile in read_tiles()}
    table = build("photo-tiles", limit=len(photos)).table
    assert set(table["cluster"].to_pylist()) == photos
    assert [name.partition("@")[0] for name in table["sample_id"].to_pylist()] == table["cluster"].to_pylist()


def test_tiles_below_the_asked_confidence_are_left_out(build):
    confidence = build("photo-tiles", min_confidence=0.9).table["confidence"].to_numpy()
    assert confidence.min() >= 0.9
    assert len(confidence) == sum(tile.confidence >= 0.9 for tile in read_tiles())


def test_the_notes_call_the_figure_agreement_robustness(build):
    assert "agreement robustness" in build("photo-tiles", limit=1).notes


def test_the_listed_labels_are_what_the_three_nets_agree_on(nets):
    listed = [tile for tile in read_tiles() if tile.confidence > 0.05][::70]
    photos = read_photos(tile.photo for tile in listed)
    x = np.concatenate([crops(photos[tile.photo], [tile.box], 224) for tile in listed])
    labels, confidence = agreement(nets, x)
    assert labels.tolist() == [tile.label for tile in listed]
    assert np.allclose(confidence, [tile.confidence for tile in listed], atol=0.01)


def test_nets_that_differ_give_no_label():
    votes = torch.eye(3)[:, [0, 1, 2]]
    nets = [lambda x: 5 * votes[[0, 1]], lambda x: 5 * votes[[0, 2]]]
    labels, _ = agreement(nets, np.zeros((2, 3, 4, 4), np.uint8))
    assert labels.tolist() == [0, -1]


def test_candidates_reach_every_edge_and_stay_inside():
    boxes = candidates(640, 427)
    assert min(left for left, _, _ in boxes) == min(top for _, top, _ in boxes) == 0
    assert max(left + side for left, _, side in boxes) == 640
    assert max(top + side for _, top, side in boxes) == 427


def test_a_tile_too_close_to_one_before_is_dropped():
    tiles = [Tile("p", left, 0, 100, 1, 0.5) for left in (0, 20, 50, 100)]
    assert [tile.x for tile in apart(tiles)] == [0, 50, 100]


def test_a_list_of_tiles_is_read_as_it_was_written(tmp_path):
    tiles = [Tile("scikit-learn/china.jpg", 1, 2, 300, 4, 0.125)]
    write_tiles(tiles, tmp_path / "tiles.csv")
    assert read_tiles(tmp_path / "tiles.csv") == tiles


def test_a_cut_shows_nothing_from_outside_its_square():
    x = np.full((40, 40, 3), 255, np.uint8)
    x[10:30, 10:30] = 0
    assert np.asarray(cut(Image.fromarray(x), (10, 10, 20), 50)).max() == 0


def test_interleaving_takes_one_of_each_group_in_turn():
    assert interleave(np.array([2, 0, 0, 2, 1, 0])).tolist() == [1, 4, 0, 2, 3, 5]
    assert interleave(np.array([], int)).tolist() == []


@pytest.mark.parametrize("component", of_kind("data"), ids=lambda component: component.name)
def test_every_entry_can_be_built_and_tells_all_its_parameters(component):
    assert callable(resolve(component.build))
    assert all(field.description for field in component.params.model_fields.values())
    assert component.shorthand is None or component.shorthand in component.params.model_fields
    assert find("data", component.name) is component
