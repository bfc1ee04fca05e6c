import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from bringing import bring, build, identify, pixels

from raygrid.errors import UsageError

CODE = """
from dataclasses import dataclass
from torch import nn

@dataclass
class Shape:
    width: int

def make(width=6):
    return nn.Sequential(nn.Flatten(), nn.Linear(48, Shape(width).width), nn.ReLU(), nn.Linear(width, 3))

def fail():
    raise KeyError("lost")

def text():
    return "no module"

def leave():
    raise SystemExit(3)
"""
WORDS = {"input": [3, 4, 4], "classes": 3, "trust": True}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`rgtestpkg.nets.small`, importable, whose import of anything is an error until `armed` is there."""
    root = tmp_path / "rgtestpkg"
    (root / "nets").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "nets" / "__init__.py").write_text("")
    (root / "nets" / "layers.py").write_text("from torch import nn\nlayers = [nn.Flatten(), nn.Linear(48, 3)]\n")
    (root / "nets" / "small.py").write_text(
        "from torch import nn\nfrom .layers import layers\n\ndef make():\n    return nn.Sequential(*layers)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.startswith("rgtestpkg")]:
        del sys.modules[name]


def test_a_file_with_weights_gives_the_model_that_was_saved(file, tmp_path):
    space: dict = {}
    exec(CODE.replace("@dataclass", "").replace("Shape(width).width", "width"), space)
    model = space["make"](width=5)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    victim = bring(
        "module", target=f"{file}:make", weights=f"{tmp_path}/w.pth", args={"width": 5}, mean=mean, std=std, **WORDS
    )
    x = pixels(2, 3, 4, 4)
    normalized = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(victim(x), model(normalized))
    assert victim.info.access == "gradient"


def test_without_trust_nothing_runs_and_the_message_says_why(file):
    file.write_text("raise RuntimeError('ran')")
    with pytest.raises(UsageError) as refused:
        identify("module", target=f"{file}:make", **(WORDS | {"trust": False}))
    assert refused.value.messages == (
        f'victim "mine": target: {file}:make is Python code, and a job file can\'t run code unless it says so; '
        "read the code, then add `trust: true`",
    )


def test_identify_runs_no_user_code(file, package):
    file.write_text("raise RuntimeError('ran')")
    (package / "__init__.py").write_text("raise RuntimeError('ran')")
    identify("module", target=f"{file}:make", **WORDS)
    identify("module", target="rgtestpkg.nets.small:make", **WORDS)
    assert not any(name.startswith("rgtestpkg") for name in sys.modules)


def test_one_byte_of_the_file_changes_the_victim(file):
    before = identify("module", target=f"{file}:make", **WORDS)
    file.write_text(CODE + " ")
    assert identify("module", target=f"{file}:make", **WORDS) != before


@pytest.mark.parametrize("words", [{"mean": [0.1, 0, 0]}, {"std": [1, 1, 0.9]}, {"args": {"width": 7}}, {"classes": 4}])
def test_each_word_that_matters_changes_the_victim(file, words):
    target = f"{file}:make"
    assert identify("module", target=target, **(WORDS | words)) != identify("module", target=target, **WORDS)


def test_the_callable_matters_and_the_folder_does_not(file, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "renamed.py"
    copy.write_text(CODE)
    assert identify("module", target=f"{copy}:make", **WORDS) == identify("module", target=f"{file}:make", **WORDS)
    assert identify("module", target=f"{file}:fail", **WORDS) != identify("module", target=f"{file}:make", **WORDS)


def test_a_quick_edit_of_equal_length_is_run(file):
    """Python's own bytecode cache would miss it: same size, same second."""
    target = f"{file}:make"
    assert bring("module", target=target, **WORDS).model[1].out_features == 6
    file.write_text(CODE.replace("width=6", "width=7"))
    assert bring("module", target=target, **WORDS).model[1].out_features == 7


def test_a_module_is_found_in_a_folder_that_has_no_init_file(package):
    (package / "nets" / "__init__.py").unlink()
    model = bring("module", target="rgtestpkg.nets.small:make", **WORDS)
    assert model(pixels(2, 3, 4, 4)).shape == (2, 3)


def test_a_module_of_a_package_is_keyed_by_all_of_the_package(package):
    target = "rgtestpkg.nets.small:make"
    before = identify("module", target=target, **WORDS)
    assert build("module", before, target=target, **WORDS)(pixels(2, 3, 4, 4)).shape == (2, 3)
    (package / "nets" / "layers.py").write_text("layers = []\n")
    assert identify("module", target=target, **WORDS).code_sha256 != before.code_sha256


def test_loading_leaves_the_import_path_and_the_global_generator_alone(file):
    path, state = list(sys.path), torch.random.get_rng_state()
    first, second = (bring("module", target=f"{file}:make", **WORDS) for _ in range(2))
    assert sys.path == path
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(CODE.splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("fail", f"target: your code raised KeyError: 'lost' (FILE:{line_of('lost')} in fail)"),
        ("leave", f"target: your code raised SystemExit: 3 (FILE:{line_of('SystemExit')} in leave)"),
        ("text", "target: text returned str, not a torch.nn.Module"),
        ("mak", 'target: FILE holds no callable "mak"; did you mean "make"?'),
        ("__name__", 'target: FILE holds no callable "__name__"'),
    ],
)
def test_a_mistake_in_user_code_is_told_with_file_and_line(file, attribute, message):
    with pytest.raises(UsageError) as refused:
        bring("module", target=f"{file}:{attribute}", **WORDS)
    assert refused.value.messages == (f'victim "mine": {message}'.replace("FILE", str(file)),)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def make(:\n", r"your code raised SyntaxError: .* \(model.py, line 1\)"),
        ("\n1 / 0\n", r"your code raised ZeroDivisionError: division by zero \(.*model.py:2 in <module>\)"),
        (
            "import rg_not_there\n",
            r"your code raised ModuleNotFoundError: .*rg_not_there.* \(.*model.py:1 in <module>\)",
        ),
    ],
)
def test_a_file_that_does_not_import_is_told_with_file_and_line(file, source, message):
    file.write_text(source)
    with pytest.raises(UsageError) as refused:
        bring("module", target=f"{file}:make", **WORDS)
    assert re.search(message, refused.value.messages[0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("model.py", 'target: "model.py" names no callable; write path/file.py:callable or pkg.mod:callable'),
        ("a:b c", 'target: "a:b c" names no callable; write path/file.py:callable or pkg.mod:callable'),
        ("/no/such.py:make", "target: no file /no/such.py on this machine; every host must find it at this path"),
        *(
            (
                f"{name}:make",
                f'target: no module "{name}" on this machine\'s import path; install it on every host, '
                "or name a file: path/file.py:callable",
            )
            for name in ("rg_not_there", "json.nothing", "json.decoder.deeper", "rg_specless")
        ),
    ],
)
def test_a_target_that_names_nothing_is_refused(target, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "rg_specless", ModuleType("rg_specless"))  # as __main__ of a script is
    with pytest.raises(UsageError) as refused:
        identify("module", target=target, **WORDS)
    assert refused.value.messages == (f'victim "mine": {message}',)


def test_a_host_with_other_code_refuses(file):
    info = identify("module", target=f"{file}:make", **WORDS)
    file.write_text(CODE + "\n")
    with pytest.raises(UsageError, match="is not the code that the job was planned with"):
        build("module", info, target=f"{file}:make", **WORDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"weights": "/no/w.pth"}, "weights: no file /no/w.pth on this machine"),
        ({"sha256": "0" * 64}, "sha256: there is no `weights` file to check it against"),
        ({"weights": __file__, "sha256": "0" * 64}, f"sha256: {Path(__file__)} has "),
    ],
)
def test_weights_that_are_not_there_are_refused(file, words, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        identify("module", target=f"{file}:make", **WORDS, **words)


def test_weights_of_another_model_are_refused(file, tmp_path):
    torch.save({"odd": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match='do not fit victim "mine"'):
        bring("module", target=f"{file}:make", weights=str(tmp_path / "w.pth"), **WORDS)
