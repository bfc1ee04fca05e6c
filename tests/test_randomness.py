import pytest
import torch

from raygrid import randomness as module
from raygrid.randomness import Randomness

IDS = ["a", "b", "c", "d"]
LIKE = torch.zeros(1, 2, 5)
KINDS = ("uniform", "normal")


def draw(kind="uniform", index=(0, 1, 2, 3), *, seed=0, attack="pgd", ids=IDS, purpose="start"):
    randomness = Randomness(seed, attack, ids)
    return getattr(randomness, kind)(purpose, torch.tensor(index, dtype=torch.long), LIKE)


@pytest.mark.parametrize("kind", KINDS)
def test_asking_twice_gives_the_same_numbers_twice(kind):
    assert torch.equal(draw(kind), draw(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", [[2], [3, 1], [0, 1, 2, 3], []])
def test_a_sample_draws_its_own_numbers_in_any_batch(kind, index):
    assert torch.equal(draw(kind, index), draw(kind)[torch.tensor(index, dtype=torch.long)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_draws_its_own_numbers_in_any_shard(kind):
    assert torch.equal(draw(kind, [1], ids=["x", "c"]), draw(kind, [2]))


CHANGES = {
    "seed": {"seed": 1},
    "attack": {"attack": "fgsm"},
    "purpose": {"purpose": "other"},
    "sample": {"ids": ["e", "f", "g", "h"]},
    "words that only join to the same text": {"attack": "pg", "purpose": "dstart"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_other_words_give_other_numbers(kind, change):
    assert (draw(kind) != draw(kind, **change)).flatten(1).any(1).all()


def test_no_global_seed_is_touched_or_read():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = draw()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(draw(), first)


def test_numbers_follow_their_distribution():
    like = torch.zeros(1, 20_000)
    randomness = Randomness(0, "pgd", ["a"])
    uniform, normal = (getattr(randomness, kind)("p", torch.tensor([0]), like)[0] for kind in KINDS)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert abs(float(normal.mean())) < 0.03 and abs(float(normal.std()) - 1) < 0.03


def test_integers_are_in_range_and_one_each():
    ids = [str(i) for i in range(600)]
    values = Randomness(0, "pgd", ids).integers("class", 3)
    assert values.shape == (600,)
    assert values.bincount().min() > 150
    assert values.unique().tolist() == [0, 1, 2]
    assert torch.equal(Randomness(0, "pgd", ids[7:9]).integers("class", 3), values[7:9])
    assert Randomness(0, "pgd", []).integers("class", 3).shape == (0,)


def test_numbers_come_in_the_type_and_place_of_what_they_are_like():
    index = torch.tensor([0])
    assert Randomness(0, "pgd", IDS).normal("p", index, LIKE.double()).dtype == torch.float64


@pytest.mark.parametrize("kind", KINDS)
def test_looks_in_parts_have_the_numbers_of_the_whole(kind):
    whole = Randomness(0, "defense", IDS).draws(torch.tensor([3, 0, 2]), ["a", "b", "a"])
    numbers = getattr(whole, kind)("x", LIKE, 4)
    parts = whole.split(2)
    assert [len(part.index) for part in parts] == [2, 1]
    assert torch.equal(torch.cat([getattr(part, kind)("x", LIKE, 4) for part in parts]), numbers)


def test_normal_numbers_are_drawn_at_their_deviation():
    draws = Randomness(0, "defense", IDS).draws(torch.arange(4), ["a"] * 4)
    assert torch.equal(draws.normal("x", LIKE, 40, 0.25), 0.25 * draws.normal("x", LIKE, 40))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_draw_the_same_numbers(kind, mode, monkeypatch):
    """They draw for GPUs only, which there are none of in the tests."""
    alone, drawn = draw(kind), []
    by_threads = module.by_threads
    monkeypatch.setattr(module, "one_by_one", lambda write, rows: (drawn.append(len(rows)), by_threads(write, rows)))
    with mode():
        assert torch.equal(draw(kind), alone)
    assert drawn == [4]
