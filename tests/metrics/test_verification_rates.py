"""FAR, FRR, EER, thresholds and their intervals, against counting pair by pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygrid.metrics.statistics import wilson
from raygrid.metrics.verification import Pairs, auc, check_far, equal_error_rate, people_needed, threshold_at

LEVELS = st.integers(0, 8)
"""Few values, so that ties are frequent."""
ARRAYS = st.lists(LEVELS, min_size=1, max_size=40).map(lambda values: np.array(values, dtype=np.float32) / 8)


def pairs_of(sizes, similarity=None, seed=0):
    """All pairs of photos of people who have so many."""
    people = np.repeat(np.arange(len(sizes)), sizes)
    count = len(people) * (len(people) - 1) // 2
    drawn = np.random.default_rng(seed).integers(0, 12, count) / np.float32(12)
    return Pairs(np.asarray(drawn if similarity is None else similarity, dtype=np.float32), people)


def counted(pairs):
    """Lists of similarities of genuine and of impostor pairs, pair by pair."""
    genuine, impostors, at = [], [], 0
    for i in range(len(pairs.people)):
        for j in range(i + 1, len(pairs.people)):
            (genuine if pairs.people[i] == pairs.people[j] else impostors).append(float(pairs.similarity[at]))
            at += 1
    return genuine, impostors


# Thresholds


@pytest.mark.parametrize(("far", "accepted"), [(0.01, 1), (0.1, 10), (0.3, 30), (0.999, 99), (0.0099, 0), (1e-6, 0)])
def test_a_threshold_accepts_just_the_share_that_is_asked_for(far, accepted):
    impostors = np.random.default_rng(0).permutation(100).astype(np.float32)
    threshold = threshold_at(impostors, far)
    assert (impostors >= threshold).sum() == accepted
    assert threshold == pytest.approx(99 - accepted, abs=1e-4) and threshold > 99 - accepted


@pytest.mark.parametrize("accepted", range(1, 100))
def test_no_share_of_a_hundred_is_lost_to_rounding(accepted):
    impostors = np.arange(100, dtype=np.float32)
    assert (impostors >= threshold_at(impostors, accepted / 100)).sum() == accepted


@given(ARRAYS, st.floats(1e-6, 1 - 1e-6))
def test_a_threshold_never_accepts_more_and_a_lower_one_would(impostors, far):
    threshold = threshold_at(impostors, far)
    assert (impostors >= threshold).sum() <= far * len(impostors) + 1e-6
    below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    assert (impostors >= below).sum() > far * len(impostors) - 1e-6
    assert float(np.float32(threshold)) == threshold  # or a score that is told from it in float32 would round across


def test_ties_at_the_threshold_are_all_refused():
    assert threshold_at(np.full(50, 0.25, dtype=np.float32), 0.5) > 0.25


@pytest.mark.parametrize(("impostors", "far"), [([], 0.1), ([0.5], 0.0), ([0.5], 1.0), ([0.5], float("nan"))])
def test_no_threshold_without_pairs_or_with_no_share(impostors, far):
    with pytest.raises(ValueError, match="a threshold needs impostor pairs and a FAR between 0 and 1"):
        threshold_at(np.array(impostors, dtype=np.float32), far)


# FAR and FRR


@pytest.mark.parametrize("sizes", [[2, 2], [1, 3, 2], [4, 4, 4, 4], [5, 1, 1, 2, 7]])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.25, 0.5, 7 / 12, 2.0])
def test_far_and_frr_are_counted_as_by_hand(sizes, threshold):
    threshold = float(np.float32(threshold))
    pairs = pairs_of(sizes)
    genuine, impostors = counted(pairs)
    far, frr = pairs.far(threshold), pairs.frr(threshold)
    assert (far.num, far.den) == (sum(value >= threshold for value in impostors), len(impostors))
    assert (frr.num, frr.den) == (sum(value < threshold for value in genuine), len(genuine))
    for rate in (far, frr):
        assert 0 <= rate.low <= rate.value <= rate.high <= 1
        assert rate.value == rate.num / rate.den


def test_numbers_of_people_need_not_follow_one_another():
    pairs = pairs_of([2, 3, 2])
    scattered = Pairs(pairs.similarity, np.array([3, 3, 70, 70, 70, 9, 9]))
    for threshold in (0.3, 0.6):
        for rate in ("far", "frr"):
            one, other = (vars(getattr(some, rate)(threshold)) for some in (pairs, scattered))
            assert one == pytest.approx(other)
    assert pairs.eer == pytest.approx(scattered.eer) and scattered.pairs_of_people == 3


@pytest.mark.parametrize("sizes", [[1, 1], [4]])
def test_no_rate_without_pairs(sizes):
    pairs = pairs_of(sizes)
    rate = pairs.frr if len(sizes) > 1 else pairs.far
    with pytest.raises(ValueError, match="a rate needs two people, and two photos of one"):
        rate(0.5)


@pytest.mark.parametrize("people", [2, 3, 20])
def test_where_no_pair_is_wrong_people_and_pairs_of_people_are_what_an_interval_counts(people):
    """100 photos of two people are no hundred tries: Wilson's upper end for none of n is z^2 / (n + z^2)."""
    photos = 10
    pairs = pairs_of([photos] * people, np.zeros(people * photos * (people * photos - 1) // 2))
    z2 = 1.959964**2
    assert pairs.far(0.5).high == pytest.approx(z2 / (people * (people - 1) / 2 + z2), rel=1e-4)
    assert pairs.frr(0.0).high == pytest.approx(z2 / (people + z2), rel=1e-4)


# EER and AUC


@pytest.mark.parametrize(
    ("genuine", "impostors", "eer"),
    [
        ([0.9, 0.8], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0, 1], [0, 1], 0.5),
        ([1, 1, 1, 0.2], [0, 0, 0, 0.5], 0.25),
        ([0.5] * 3, [0.5] * 5, 0.5),
    ],
)
def test_the_equal_error_rate_of_cases_in_closed_form(genuine, impostors, eer):
    assert equal_error_rate(np.array(genuine), np.array(impostors)) == pytest.approx(eer)


@given(ARRAYS, ARRAYS)
def test_the_equal_error_rate_lies_where_brute_force_finds_it(genuine, impostors):
    thresholds = sorted({*genuine.tolist(), *impostors.tolist()})
    rates = [(np.mean(genuine < t), np.mean(impostors >= t)) for t in thresholds]
    gap = min(abs(frr - far) for frr, far in rates)
    nearest = [(frr + far) / 2 for frr, far in rates if abs(frr - far) <= gap + 1e-12]
    found = equal_error_rate(genuine, impostors)
    assert min(nearest) - 1e-12 <= found <= max(nearest) + 1e-12


def test_the_equal_error_rate_of_two_normal_distributions():
    """It is the mass beyond half of their distance: Phi(-d / 2) for d standard deviations."""
    rng = np.random.default_rng(0)
    found = equal_error_rate(rng.normal(2, 1, 200_000), rng.normal(0, 1, 200_000))
    assert found == pytest.approx(0.158655, abs=0.002)


@given(ARRAYS, ARRAYS)
def test_the_area_under_the_curve_is_the_share_of_ordered_pairs(genuine, impostors):
    wins = (genuine[:, None] > impostors).mean() + (genuine[:, None] == impostors).mean() / 2
    assert auc(genuine, impostors) == pytest.approx(wins)


def test_histograms_stand_for_all_pairs_where_one_person_is_left_out():
    """The jackknife of the EER counts in bins; its interval is that of an EER computed anew without each person."""
    pairs = faces(8, 5, np.random.default_rng(5))
    without = []
    for person in range(8):
        one, other = pairs.ends
        kept = (one != person) & (other != person)
        without.append(
            equal_error_rate(pairs.similarity[kept & pairs.genuine], pairs.similarity[kept & ~pairs.genuine])
        )
    variance = 7 / 8 * ((np.array(without) - np.mean(without)) ** 2).sum()
    eer, low, high = pairs.eer
    effective = eer * (1 - eer) / variance
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.3)
    assert effective < pairs.genuine.sum() and low < eer < high


def test_an_equal_error_rate_of_nothing_is_as_uncertain_as_there_are_few_people():
    """Leaving people out shows no spread there; an interval of no width would say that two people tell all."""
    for people in (2, 3, 20):
        sizes = [4] * people
        numbers = np.repeat(np.arange(people), 4)
        i, j = np.triu_indices(4 * people, 1)
        eer, low, high = pairs_of(sizes, numbers[i] == numbers[j]).eer
        assert (eer, low) == (0, 0)
        assert high == pytest.approx(3.8415 / (people + 3.8415), rel=1e-3)


def faces(people, photos, rng, spread=0.45):
    """Cosines of photos that scatter about the mean of each person, whose own scatter differs."""
    means = np.repeat(rng.normal(size=(people, 6)), photos, 0)
    own = np.repeat(rng.uniform(0.5, 1.5, people), photos)[:, None]
    x = means + spread * own * rng.normal(size=means.shape)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Pairs(
        (x @ x.T)[np.triu_indices(people * photos, 1)].astype(np.float32), np.repeat(np.arange(people), photos)
    )


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """The truth is that of many draws of 20 people; each other draw brings an interval of its own, here at 95 %."""
    rng, threshold = np.random.default_rng(11), 0.75
    draws = [faces(20, 5, rng) for _ in range(260)]
    rates = {"far": [some.far(threshold) for some in draws], "frr": [some.frr(threshold) for some in draws]}
    for name, found in rates.items():
        truth = np.mean([rate.value for rate in found])
        held = np.mean([rate.low <= truth <= rate.high for rate in found])
        assert 0.91 <= held <= 0.995, (name, held)
        naive = [wilson(rate.num, rate.den) for rate in found]  # as if pairs were independent
        assert np.mean([low <= truth <= high for low, high in naive]) < 0.85


def test_intervals_of_equal_error_rates_hold_the_truth_likewise():
    rng = np.random.default_rng(13)
    found = [faces(20, 4, rng).eer for _ in range(120)]
    truth = np.mean([eer for eer, _, _ in found])
    held = np.mean([low <= truth <= high for _, low, high in found])
    assert held >= 0.91, held


# How many people a false accept rate takes


@pytest.mark.parametrize(("far", "people"), [(0.01, 15), (0.001, 46), (1e-4, 142), (0.5, 3), (1 / 190, 20), (0.3, 4)])
def test_so_many_people_are_needed(far, people):
    assert people_needed(far) == people
    assert people * (people - 1) / 2 >= 1 / far - 1e-9
    assert (people - 1) * (people - 2) / 2 < 1 / far


def test_twenty_people_carry_one_percent_and_not_one_in_a_thousand():
    assert check_far(0.01, 20) is None
    message = check_far(0.001, 20)
    assert "far 0.001 is less than one in the 190 pairs of people that 20 calibration people make" in message
    assert "it needs 46 people, or a far of 0.0053 or more" in message


@pytest.mark.parametrize("people", range(3, 200))
def test_the_far_that_the_message_names_is_accepted(people):
    """1/66, say, rounds to 0.015, which 12 people do not carry."""
    named = float(check_far(1e-9, people).split("or a far of ")[1].split()[0])
    assert check_far(named, people) is None
    assert named < 1.15 * 2 / (people * (people - 1))


def test_two_people_carry_no_far_at_all():
    assert check_far(0.9, 2).endswith("it needs 3 people")
