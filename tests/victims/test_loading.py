"""What comes out of a weights file, and what is said of a file that is none."""

import gzip
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from raygrid.assets import sha256_of
from raygrid.errors import UsageError
from raygrid.victims.loading import load_into, load_tensors

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


class Intruder:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def save_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


GOOD = {
    "safetensors": lambda path: save_file(TENSORS, path),
    "a checkpoint": lambda path: torch.save(TENSORS, path),
    "a checkpoint of old torch": lambda path: save_legacy(TENSORS, path),
    "a training script's checkpoint": lambda path: torch.save({"epoch": 3, "state_dict": TENSORS}, path),
    "another script's checkpoint": lambda path: torch.save({"model": TENSORS, "optimizer": {"lr": 0.1}}, path),
    "tensors, one of them called model": lambda path: torch.save({**TENSORS, "model": torch.ones(1)}, path),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
def test_tensors_are_read_whatever_the_file_is_called(kind, name, tmp_path):
    path = tmp_path / name
    GOOD[kind](path)
    tensors = load_tensors(path, sha256_of(path))
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())


def cut(save, path: Path, share: float) -> None:
    save(TENSORS, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


BAD = {
    "empty": (lambda path: path.touch(), "empty"),
    "a web page": (lambda path: path.write_text("\n <!DOCTYPE html><html>"), "a web page saved as weights"),
    "a git-lfs pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "git lfs pull",
    ),
    "a Keras file": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5"),
    "a gzip archive": (lambda path: path.write_bytes(gzip.compress(b"weights")), "unpack it first"),
    "half a safetensors file": (lambda path: cut(save_file, path, 0.5), "truncated or damaged safetensors"),
    "half a checkpoint": (lambda path: cut(torch.save, path, 0.5), "truncated or damaged checkpoint"),
    "half an old checkpoint": (lambda path: cut(save_legacy, path, 0.5), "truncated or damaged checkpoint"),
    "a text": (lambda path: path.write_text("these are the weights"), "truncated or damaged checkpoint"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({"weight": [1.0]}, protocol=2)), "checkpoint"),
    "a whole model": (lambda path: torch.save(nn.Linear(3, 2), path), "save_file"),
    "a list": (lambda path: torch.save([torch.ones(1)], path), "a list"),
    "a mapping of other things": (lambda path: torch.save({"epoch": 3, **TENSORS}, path), "'epoch' (int)"),
    "a mapping of nothing": (lambda path: torch.save({}, path), "nothing"),
    "a tensor without a name": (lambda path: torch.save({0: torch.ones(1)}, path), "no mapping from names"),
    "another archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)), "checkpoint"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_holds_no_weights_gets_one_message_that_names_it(kind, tmp_path):
    write, message = BAD[kind]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(UsageError) as caught:
        load_tensors(path, None)
    (told,) = caught.value.messages
    assert str(path) in told
    assert message in told
    assert "\n" not in told


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        load_tensors(tmp_path / "none.pth", None)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"weight": Intruder(tmp_path / "intruded")}, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="more than tensors"):
        load_tensors(tmp_path / "weights.pth", None)
    assert not (tmp_path / "intruded").exists()


def test_the_sha256_is_checked_before_the_file_is_parsed(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"this would not parse")
    with pytest.raises(UsageError, match=f"expected sha256 {'0' * 64}, got {sha256_of(path)}"):
        load_tensors(path, "0" * 64)


def test_tensors_that_fit_are_copied_into_the_model():
    model = nn.Linear(3, 2)
    load_into(model, TENSORS, "mine")
    assert torch.equal(model.weight, TENSORS["weight"])


@pytest.mark.parametrize(
    ("model", "messages"),
    [
        (nn.Linear(3, 4), ["2 of another shape: weight (2, 3) instead of (4, 3), bias (2,) instead of (4,)"]),
        (nn.Linear(3, 2, bias=False), ["1 unexpected: bias"]),
        (nn.Sequential(nn.Linear(3, 2)), ["2 missing: 0.weight, 0.bias", "2 unexpected: weight, bias"]),
        (
            nn.ModuleList([nn.PReLU() for _ in range(7)]),
            ["7 missing: 0.weight, 1.weight, 2.weight, 3.weight, 4.weight,"],
        ),
    ],
    ids=["another number of classes", "another layer", "a wrapper", "another architecture"],
)
def test_tensors_that_do_not_fit_are_listed(model, messages):
    with pytest.raises(UsageError, match='do not fit victim "mine"') as caught:
        load_into(model, TENSORS, "mine")
    assert all(message in str(caught.value) for message in messages)
