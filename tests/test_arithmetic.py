"""Float32 is float32, whatever the process is set to and by whichever of torch's ways, and the settings are given back."""

import gc
import subprocess
import sys
from multiprocessing import get_context

import pytest
import torch
from torch import nn

import raygrid
from raygrid.arithmetic import EXACT, PARTS, compute_exactly
from raygrid.bench import threads


def settings():
    """Everything that can be read, by both ways."""

    def read(get):
        try:
            return get()
        except RuntimeError:
            return "can't be read"

    return [
        *(part.fp32_precision for part in PARTS),
        read(torch.get_float32_matmul_precision),
        read(lambda: torch.backends.cuda.matmul.allow_tf32),
        read(lambda: torch.backends.cudnn.allow_tf32),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
    ]


def exact():
    return (
        all(part.fp32_precision in EXACT for part in PARTS)
        and torch.backends.cudnn.deterministic
        and not torch.backends.cudnn.benchmark
    )


WAYS = (
    "b.cudnn.allow_tf32 = False; b.cudnn.benchmark = True",
    "b.cuda.matmul.allow_tf32 = True",
    "torch.set_float32_matmul_precision('medium')",
    "b.cudnn.conv.fp32_precision = 'ieee'",
    "b.cudnn.fp32_precision = 'tf32'",
    "b.mkldnn.matmul.fp32_precision = 'bf16'",
    "b.fp32_precision = 'tf32'",
    "b.disable_global_flags()",
)


def in_a_process_each():
    """Fork for every way: what was said by the newer way can't be unsaid, and to import torch takes seconds."""
    context, faults = get_context("fork"), []
    for way in WAYS:
        process = context.Process(target=one_way, args=(way,))
        process.start()
        process.join()
        faults += [way] * (process.exitcode != 0)
    sys.exit(f"not overruled or not given back: {faults}" if faults else 0)


def one_way(way):
    exec(way, {"torch": torch, "b": torch.backends})
    before = settings()
    with pytest.raises(KeyError), compute_exactly():
        assert all(part.fp32_precision in EXACT for part in PARTS), way
        assert exact() or "disable" in way, way
        raise KeyError
    assert settings() == before, way
    raygrid.attack(nn.Flatten(), torch.rand(2, 1, 2, 2), torch.tensor([0, 1]), "pgd", eps=0.1, steps=2)
    assert settings() == before, way
    compute_exactly()
    gc.collect()
    assert all(part.fp32_precision in EXACT for part in PARTS), (
        "what nobody puts back lasts, whatever becomes of the way back"
    )


def test_settings_said_by_any_way_are_overruled_and_given_back():
    done = subprocess.run([sys.executable, "-W", "ignore", __file__], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Watching(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.score = nn.Linear(4, 3)

    def forward(self, x):
        torch.get_float32_matmul_precision()  # as libraries do, and can't where torch was told in two ways
        self.seen.append(exact())
        return self.score(x.flatten(1))


@pytest.fixture
def loose():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield settings()
    torch.set_float32_matmul_precision(before)


def test_a_notebook_attack_crafts_and_judges_in_it(loose):
    model = Watching()
    raygrid.attack(model, torch.rand(2, 1, 2, 2), torch.tensor([0, 1]), "pgd", eps=0.1, steps=2)
    assert len(model.seen) >= 4 and all(model.seen)
    assert settings() == loose


def test_so_do_the_benches(loose):
    with threads(torch.get_num_threads()):
        assert exact()
    assert settings() == loose


if __name__ == "__main__":
    in_a_process_each()
