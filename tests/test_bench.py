"""What `raygrid bench` times, never how long it takes."""

import pytest
import torch
from models import Counting, victim

from raygrid import bench
from raygrid.bench import attack_table, time_attack
from raygrid.errors import UsageError

STEPS = 3


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_the_table_has_a_line_for_every_victim_attack_and_norm():
    table = attack_table(["mnist-cnn", "mnist-cnn-adv"], ["pgd", "apgd-ce"], STEPS, samples=2, repeats=1, device="cpu")
    names, attacks, norms, passes, attack, floor, ratio = cells(table)
    assert [column.header for column in table.columns][-3:] == ["attack", "floor", "attack / floor"]
    assert names == ["mnist-cnn"] * 6 + ["mnist-cnn-adv"] * 6
    assert attacks[:6] == ["pgd"] * 3 + ["apgd-ce"] * 3
    assert norms[:6] == ["linf", "l2", "l1"] * 2
    assert set(passes) == {"4 f + 3 b"}
    assert all(float(value) > 0 for column in (attack, floor, ratio) for value in column)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_floor_runs_the_passes_that_the_attack_issued(norm, monkeypatch):
    model = Counting(victim("mnist-cnn"))
    x, y = torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.long)
    spent = []

    def watched(work, _):
        before = model.forwards, model.backwards
        work()
        spent.append((model.forwards - before[0], model.backwards - before[1]))
        return 1.0

    monkeypatch.setattr(bench, "_seconds", watched)
    timing = time_attack(model, x, y, "pgd", norm, STEPS, repeats=2)
    assert spent == [(4 * (STEPS + 1), 4 * STEPS)] * 4
    assert (timing.forwards, timing.backwards) == (STEPS + 1, STEPS)


@pytest.mark.parametrize("name", ["fgsm", "uniform-noise"])
def test_an_attack_without_steps_has_no_such_floor(name):
    with pytest.raises(UsageError, match=f'attack "{name}" takes no gradient steps'):
        attack_table(["mnist-cnn"], [name], STEPS, samples=1, repeats=1, device="cpu")


@pytest.mark.parametrize(("victims", "attacks"), [(["mnist-cn"], ["pgd"]), (["mnist-cnn"], ["pdg"])])
def test_an_unknown_name_is_a_mistake(victims, attacks):
    with pytest.raises(UsageError, match="did you mean"):
        attack_table(victims, attacks, STEPS, samples=1, repeats=1, device="cpu")


@pytest.mark.parametrize(("samples", "shape"), [(5, (5, 1, 28, 28)), (3, (3, 1, 28, 28))])
def test_a_victim_is_timed_on_data_of_its_shape(samples, shape):
    x, y = bench.some_samples(victim("mnist-cnn"), samples)
    assert x.shape == shape and y.shape == (samples,)


def test_few_samples_are_repeated():
    x, y = bench.some_samples(victim("cifar10-cnn"), 45)
    assert x.shape == (45, 3, 32, 32)
    assert torch.equal(x[:5], x[20:25]) and torch.equal(y[:5], y[40:45])
