import re
import sys
from pathlib import Path

import pytest
import torch
from bringing import bring, identify, pixels

from raygrid.errors import UsageError

timm = pytest.importorskip("timm", reason="the extra `timm` is not installed")
NAME = "test_resnet.r160_in1k"


@pytest.fixture
def weights(tmp_path):
    torch.save(timm.create_model("test_resnet", num_classes=4).state_dict(), tmp_path / "w.pth")
    return str(tmp_path / "w.pth")


def test_a_file_gives_the_model_that_was_saved_with_the_tag_s_normalization(weights):
    victim = bring("timm", name=NAME, weights=weights, classes=4)
    model = timm.create_model("test_resnet", num_classes=4).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    x = pixels(2, 3, 160, 160)
    assert torch.allclose(victim(x), model((x - 0.5) / 0.5), atol=1e-6)
    assert victim(pixels(1, 3, 99, 99)).shape == (1, 4)
    assert (victim.info.arch, victim.info.license) == (f"{NAME}.file", "apache-2.0")


def test_the_normalization_and_the_file_are_part_of_the_victim(weights):
    info = identify("timm", name=NAME, weights=weights, classes=4)
    assert identify("timm", name=NAME, weights=weights, classes=4, mean=[0.4, 0.5, 0.5]) != info
    Path(weights).write_bytes(Path(weights).read_bytes() + b"\0")
    assert identify("timm", name=NAME, weights=weights, classes=4) != info


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "test_resnett"}, 'name: timm has no model "test_resnett"; did you mean "test_resnet'),
        ({"name": "test_resnet.r160_in2k"}, 'did you mean "test_resnet.r160_in1k"?'),
        (
            {"name": NAME},
            f"weights: a timm victim needs a file, nothing is fetched from a hub; get model.safetensors of timm/{NAME}",
        ),
        ({"name": NAME, "weights": "/no/w.pth"}, "weights: no file /no/w.pth on this machine"),
    ],
)
def test_words_that_fit_nothing_are_refused(words, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        identify("timm", **words)


def test_without_timm_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=re.escape("timm is not installed here; pip install 'raygrid[timm]'")):
        identify("timm", name=NAME)
