import pytest
import torch
from models import Tiny, pixels

from raygrid.outputs import run_model

X = pixels(6, 1, 6, 6, seed=3)


def test_a_model_that_never_answers_gives_nan_and_a_reason_for_each():
    def fail(x):
        raise RuntimeError("no weights")

    outputs = run_model(fail, X, 3)
    assert outputs.logits.shape == (6, 3) and outputs.logits.isnan().all()
    assert all("no weights" in outputs.why(i) for i in range(6))


@pytest.mark.parametrize("most", [1, 2, 5])
def test_short_memory_halves_the_batch(most):
    class Small(Tiny):
        def forward(self, x):
            if len(x) > most:
                raise torch.OutOfMemoryError("too many")
            return super().forward(x)

    outputs = run_model(Small(), X, 3)
    assert not outputs.errors
    assert torch.allclose(outputs.logits, Tiny()(X), atol=1e-6)


ANSWERS = {
    "one row for all": lambda x: torch.zeros(1, 3).expand(max(1, len(x) - 1), 3),
    "two tensors": lambda x: (x, x),
    "features": lambda x: x,
    "one score a sample": lambda x: x.flatten(1)[:, 0],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_are_no_logits_of_the_batch_is_a_failure_and_never_spread_over_it(name):
    outputs = run_model(ANSWERS[name], X, 3)
    if name == "one row for all":
        assert not outputs.errors  # asked one by one, it answers
    else:
        assert "a victim returns logits [B, classes], here [1, classes]" in outputs.why(0)


def test_no_samples_are_no_outputs():
    assert run_model(Tiny(), X[:0], 3).logits.shape == (0, 3)
