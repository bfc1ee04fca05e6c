import pytest
import torch
from bringing import bring, identify, pixels

from raygrid.errors import UsageError

CODE = """
import numpy as np

def scores(x):
    assert isinstance(x, np.ndarray) and x.dtype == np.float32
    return x.reshape(len(x), -1)[:, :3]

def labels(x):
    return scores(x).argmax(1)

def listed(x):
    return scores(x).tolist()

def short(x):
    return scores(x)[:1]

def floats(x):
    return labels(x).astype(float)

def outside(x):
    return labels(x) + 3

def fail(x):
    raise OSError("down")
"""
WORDS = {"input": [1, 2, 2], "classes": 3, "trust": True}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "box.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize("name", ["scores", "listed"])
def test_scores_come_back_as_they_are_and_allow_score_access_only(file, name):
    victim = bring("callable", target=f"{file}:{name}", **WORDS)
    x = pixels(4, 1, 2, 2).requires_grad_()
    assert torch.equal(victim(x), x.detach().flatten(1)[:, :3])
    assert (victim(x).requires_grad, victim.info.access) == (False, "score")


def test_labels_come_back_one_hot_and_allow_decision_access_only(file):
    victim = bring("callable", target=f"{file}:labels", returns="labels", **WORDS)
    x = pixels(4, 1, 2, 2)
    assert torch.equal(victim(x).argmax(1), x.flatten(1)[:, :3].argmax(1))
    assert torch.equal(victim(x).sum(1), torch.ones(4))
    assert victim.info.access == "decision"


@pytest.mark.parametrize(
    ("name", "returns", "error", "message"),
    [
        ("short", "scores", ValueError, r"scores have the shape \[1, 3\], not \[2, 3\]"),
        ("scores", "labels", ValueError, r"labels are float32 of the shape \[2, 3\], not integers \[2\]"),
        ("floats", "labels", ValueError, r"labels are float64 of the shape \[2\], not integers \[2\]"),
        ("outside", "labels", ValueError, r"labels are in \d..\d, not in 0..2"),
        ("fail", "scores", OSError, "down"),
    ],
)
def test_a_bad_answer_raises_so_that_the_sample_becomes_an_error_row(file, name, returns, error, message):
    victim = bring("callable", target=f"{file}:{name}", returns=returns, **WORDS)
    with pytest.raises(error, match=message):
        victim(pixels(2, 1, 2, 2))


def test_without_trust_it_is_refused(file):
    with pytest.raises(UsageError, match="can't run code unless it says so"):
        identify("callable", target=f"{file}:scores", **(WORDS | {"trust": False}))


def test_the_code_and_what_it_returns_are_part_of_the_victim(file):
    info = identify("callable", target=f"{file}:scores", **WORDS)
    assert identify("callable", target=f"{file}:scores", returns="labels", **WORDS) != info
    file.write_text(CODE + "\n")
    assert identify("callable", target=f"{file}:scores", **WORDS) != info
