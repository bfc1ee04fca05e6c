import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raygrid.ledger import BudgetSpentError, Ledger
from raygrid.spec import Budget

N = 6
ALL = torch.arange(N)
NO_LIMIT = Budget()


def ledger_of(samples=N, budget=NO_LIMIT, eot=1, stop_early=True, skip=None):
    return Ledger(samples, budget, eot, stop_early, skip, torch.device("cpu"))


def some(*positions):
    return torch.tensor(positions, dtype=torch.long)


def test_what_is_skipped_is_never_active():
    ledger = ledger_of(skip=ALL % 2 == 0)
    assert ledger.active(1, 0).tolist() == [1, 3, 5]
    assert ledger.retire(some(1, 3), torch.tensor([True, False])).tolist() == [1]
    assert ledger.active(1, 0).tolist() == [3, 5]


def test_broken_samples_are_active_no_more():
    ledger = ledger_of()
    assert ledger.retire(ALL, torch.zeros(N, dtype=torch.bool)) is None
    assert ledger.retire(ALL, ALL == 2).tolist() == [0, 1, 3, 4, 5]
    assert ledger.active(1, 0).tolist() == [0, 1, 3, 4, 5]
    ledger.retire(some(0, 5), torch.tensor([False, True]))
    assert ledger.active(1, 0).tolist() == [0, 1, 3, 4]
    assert ledger.broken.tolist() == [False, False, True, False, False, True]


def test_without_early_stop_broken_samples_go_on():
    ledger = ledger_of(stop_early=False)
    assert ledger.retire(ALL, ALL == 2) is None
    assert ledger.active(1, 0).tolist() == ALL.tolist()
    assert ledger.broken.tolist() == [False, False, True, False, False, False]


def test_all_positions_are_given_out_as_themselves():
    ledger = ledger_of()
    assert ledger.active(1, 1) is ledger.everyone
    assert ledger_of(samples=0).active(1, 1).tolist() == []


def test_looks_are_numbered_sample_by_sample_whatever_they_consist_of():
    ledger = ledger_of(eot=4)
    assert ledger.charge(some(1, 3), 1, 0).tolist() == [0, 0]
    assert ledger.charge(some(3, 0), 1, 1).tolist() == [1, 0]
    assert ledger.forwards.tolist() == [4, 4, 0, 8, 0, 0] and ledger.backwards.tolist() == [4, 0, 0, 4, 0, 0]


def test_what_is_refused_costs_nothing():
    ledger = ledger_of(budget=Budget(queries=2))
    with pytest.raises(BudgetSpentError):
        ledger.charge(some(2, 0, 2, 2), 1, 0)
    assert not ledger.forwards.any()
    ledger.charge(some(2, 0, 2), 1, 0)
    assert ledger.remaining(some(2, 0, 1)).tolist() == [0, 1, 2]


limits = st.none() | st.integers(1, 9)
asked = st.lists(st.integers(0, N - 1), min_size=1, max_size=8)


@given(st.tuples(limits, limits), st.integers(1, 3), st.lists(st.tuples(asked, st.booleans()), max_size=12))
def test_nobody_ever_pays_more_than_the_budget_and_whoever_can_is_active(most, eot, looks):
    budget = Budget(*most)
    ledger, paid = ledger_of(budget=budget, eot=eot), [[0, 0] for _ in range(N)]
    for positions, backwards in looks:
        after = [list(one) for one in paid]
        for i in positions:
            after[i] = [after[i][0] + eot, after[i][1] + eot * backwards]
        if all(limit is None or one[k] <= limit for one in after for k, limit in enumerate(most)):
            ledger.charge(some(*positions), 1, int(backwards))
            paid = after
        else:
            with pytest.raises(BudgetSpentError):
                ledger.charge(some(*positions), 1, int(backwards))
        assert [list(one) for one in zip(ledger.forwards, ledger.backwards, strict=True)] == paid
        ready = [i for i in range(N) if all(m is None or paid[i][k] + eot <= m for k, m in enumerate(most))]
        assert ledger.active(1, 1).tolist() == ready
