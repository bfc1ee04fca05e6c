"""Float32 is float32 on a GPU too, whatever the process is set to otherwise, and the settings are given back."""

import pytest
import torch
from torch import nn

import raygrid
from raygrid.arithmetic import SETTINGS, compute_exactly, exact_arithmetic
from raygrid.bench import threads


def settings():
    return [getattr(backend, name) for backend, name, _ in SETTINGS]


EXACT = [value for _, _, value in SETTINGS]


@pytest.fixture(autouse=True)
def loose():
    before = settings()
    for backend, name, value in SETTINGS:
        setattr(backend, name, not value)
    yield [not value for value in EXACT]
    for (backend, name, _), value in zip(SETTINGS, before, strict=True):
        setattr(backend, name, value)


def test_it_holds_for_the_duration_also_of_what_fails(loose):
    assert settings() == loose
    with pytest.raises(RuntimeError, match="inside"), exact_arithmetic():
        assert settings() == EXACT
        raise RuntimeError("inside")
    assert settings() == loose


def test_it_holds_from_now_on():
    compute_exactly()
    assert settings() == EXACT


class Watching(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.score = nn.Linear(4, 3)

    def forward(self, x):
        self.seen.append(settings())
        return self.score(x.flatten(1))


def test_a_notebook_attack_crafts_and_judges_in_it(loose):
    model = Watching()
    raygrid.attack(model, torch.rand(2, 1, 2, 2), torch.tensor([0, 1]), "pgd", eps=0.1, steps=2)
    assert len(model.seen) >= 4 and all(seen == EXACT for seen in model.seen)
    assert settings() == loose


def test_so_do_the_benches(loose):
    with threads(torch.get_num_threads()):
        assert settings() == EXACT
    assert settings() == loose
