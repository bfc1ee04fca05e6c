"""How looks are spent on rooms, and how the noise grows."""

import pytest
import torch

from raygrid.attacks.room_search import Curriculum, choose_rooms, note_losses, unseen


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_room_is_seen_once_before_any_is_seen_twice():
    samples, rooms, looks = 3, 10, 4
    last, order = unseen(samples, rooms), uniform(samples, rooms)
    seen = torch.zeros(samples, 0, dtype=torch.long)
    for step in range(3):
        chosen = choose_rooms(last, uniform(samples, looks, seed=step + 1), order)
        seen = torch.cat([seen, chosen], dim=1)
        last = note_losses(last, chosen, torch.ones(samples, looks))
    for row, wanted in zip(seen[:, :rooms], order, strict=True):
        assert row.tolist() == wanted.argsort().tolist()
    assert not last.isinf().any()


def test_then_rooms_come_in_proportion_to_their_last_loss():
    last = torch.tensor([[1.0, 0.0, 3.0, 6.0]])
    chosen = choose_rooms(last, uniform(1, 20_000), uniform(1, 4, seed=1))
    shares = torch.bincount(chosen[0], minlength=4) / 20_000
    assert torch.allclose(shares, torch.tensor([0.1, 0.0, 0.3, 0.6]), atol=0.015)


def test_the_last_number_below_1_finds_no_room_that_no_longer_costs_anything():
    almost = torch.tensor([[1 - 2**-24]])
    assert choose_rooms(torch.tensor([[0.1, 0.2, 0.7, 0.0]]), almost, uniform(1, 4)).item() == 2


def test_where_no_room_costs_anything_all_are_as_likely():
    chosen = choose_rooms(torch.zeros(1, 5), uniform(1, 20_000), uniform(1, 5))
    assert torch.allclose(torch.bincount(chosen[0]) / 20_000, torch.tensor(0.2), atol=0.015)


def test_more_looks_than_rooms_show_all_and_repeat_some():
    last, order = unseen(2, 3), uniform(2, 3)
    chosen = choose_rooms(last, uniform(2, 8), order)
    assert torch.equal(chosen[:, :3].sort(1).values, torch.arange(3).expand(2, 3))
    assert ((chosen >= 0) & (chosen < 3)).all()


def test_half_seen_the_rest_comes_first_and_the_drawn_ones_are_seen_ones():
    last = torch.tensor([[2.0, torch.inf, 1.0, torch.inf]])
    chosen = choose_rooms(last, uniform(1, 50), torch.tensor([[0.1, 0.9, 0.2, 0.3]]))
    assert chosen[0, :2].tolist() == [3, 1]
    assert set(chosen[0, 2:].tolist()) == {0, 2}


def test_a_choice_is_the_samples_own():
    last = uniform(4, 6)
    last[1] = torch.inf
    u, order = uniform(4, 5, seed=1), uniform(4, 6, seed=2)
    together = choose_rooms(last, u, order)
    for rows in ([3, 1], [2]):
        assert torch.equal(choose_rooms(last[rows], u[rows], order[rows]), together[rows])


@pytest.mark.parametrize("wrong", [-0.1, torch.nan])
def test_losses_that_are_no_weights_are_refused(wrong):
    with pytest.raises(ValueError, match="not negative"):
        choose_rooms(torch.tensor([[1.0, wrong]]), uniform(1, 2), uniform(1, 2))


def test_what_was_seen_is_noted_and_nothing_else_and_the_later_one_counts():
    last = torch.tensor([[1.0, 2.0, torch.inf]])
    noted = note_losses(last, torch.tensor([[2, 0, 2]]), torch.tensor([[5.0, 6.0, 7.0]]))
    assert noted.tolist() == [[6.0, 2.0, 7.0]]
    assert last.tolist() == [[1.0, 2.0, torch.inf]]


def test_noise_grows_as_the_papers_code_says():
    """16384 (1 - 0.99^k) in 16-bit units, see methods.md 3.2."""
    std = Curriculum().std(torch.tensor([0, 1, 10, 50, 100])) * 2**15
    assert torch.allclose(std, torch.tensor([0.0, 164, 1567, 6472, 10387]), atol=1)


def test_noise_grows_only_where_more_than_half_met_the_goal():
    met = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    assert Curriculum().after(torch.tensor([4, 4, 4]), met).tolist() == [5, 4, 4]
