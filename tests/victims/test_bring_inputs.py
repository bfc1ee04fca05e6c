import subprocess
import sys
from dataclasses import replace

import pytest
from bringing import identify, params_of

from raygrid.component import resolve
from raygrid.errors import UsageError
from raygrid.registry import find, of_kind
from raygrid.victims.bring_inputs import resizing

GOOD = {"input": [3, 8, 8], "classes": 4, "url": "https://models.example/v1", "state": "1"}
MODULE = {"input": [3, 8, 8], "classes": 4, "trust": True}
CODE = "def make():\n    raise RuntimeError('planning must not run this')\n"


@pytest.fixture
def code(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(CODE)
    return f"{file}:make"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"input": [3, 0, 8]}, "input: channels, height and width are at least 1, not [3, 0, 8]"),
        (
            {"input": [32, 32, 3]},
            "input: [32, 32, 3] looks like height, width, channels; channels come first: [3, 32, 32]",
        ),
        ({"classes": 1}, "classes: a classifier has at least 2, not 1"),
        ({"mean": [0.5]}, "mean: 1 values for 3 channels; give one a channel"),
        ({"std": [1, 1]}, "std: 2 values for 3 channels; give one a channel"),
        ({"mean": []}, "mean: 0 values for 3 channels; give one a channel"),
        ({"std": [1, 0, 1]}, "std: every value must be finite and above 0, not [1.0, 0.0, 1.0]"),
        ({"std": [1, float("nan"), 1]}, "std: every value must be finite and above 0, not [1.0, nan, 1.0]"),
        (
            {"mean": [123.7, 116.3, 103.5]},
            "mean: pixels are in [0, 1], so [123.7, 116.3, 103.5] cannot be their mean; divide by 255",
        ),
    ],
)
def test_a_contract_that_cannot_hold_is_refused_by_field(code, words, message):
    with pytest.raises(UsageError) as refused:
        identify("module", target=code, **(MODULE | words))
    assert f'victim "mine": {message}' in refused.value.messages


def test_all_wrong_fields_are_told_at_once(code):
    with pytest.raises(UsageError) as refused:
        identify("module", target=code, **(MODULE | {"classes": 0, "mean": [0], "std": [0, 1, 1]}))
    assert [message.split(": ")[1] for message in refused.value.messages] == ["mean", "std", "classes"]


@pytest.mark.parametrize("words", [{"input": [3, 8]}, {"input": [3, 8, "x"]}, {"classes": "many"}, {"clases": 4}])
def test_words_of_the_wrong_type_or_name_are_refused(words):
    with pytest.raises(UsageError):
        identify("endpoint", **(GOOD | words))


@pytest.mark.parametrize("use", ["torchvision", "timm", "module", "onnx", "callable", "endpoint"])
def test_every_brought_victim_is_registered_and_documents_its_parameters(use):
    (component,) = [c for c in of_kind("victim") if c.name == use]
    assert [name for name, field in component.params.model_fields.items() if not field.description] == []


def test_a_relative_path_is_the_same_file_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = params_of("module", MODULE | {"target": "model.py:make", "weights": "w.pth"})
    assert (params.target, params.weights) == (f"{tmp_path}/model.py:make", f"{tmp_path}/w.pth")


def test_planning_needs_no_torch(code):
    words = {
        "module": MODULE | {"target": code},
        "callable": MODULE | {"target": code},
        "endpoint": GOOD,
    }
    program = (
        "import sys; from raygrid.component import resolve; from raygrid.registry import find, parse\n"
        f"for use, words in {words!r}.items():\n"
        "    resolve(find('victim', use).identify)(parse(find('victim', use), words), 'mine')\n"
        "import raygrid.victims.bring_onnx\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_victim_that_resizes_says_to_what_size_and_its_key_says_it_once():
    fixed = find("victim", "efficientnet-lite0")
    info = resizing(replace(resolve(fixed.identify)(fixed.params(), "mine"), input_shape=(3, 64, 64), native=0))
    assert (info.input_shape, info.native) == ((3, None, None), 64)
    assert "to 64x64" in info.facts()["resize"] and "native" not in info.facts()
