"""Who may import whom: read from the source, and from fresh interpreters for what an import really loads."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WORDS = {"chain", "component", "ensemble", "errors", "keys", "registry", "spec"}
"""What every part may use to declare itself."""
FILES = {"assets", "mnist_split", "pins"}
"""What ships in packages."""
SEARCH = {"channels", "constraints", "goals", "oracle", "randomness", "sample_errors", "sight"}
"""What an attack is given."""
RUN = (
    WORDS
    | FILES
    | SEARCH
    | {
        "attacks",
        "audioset",
        "batch",
        "data",
        "data.alignment",
        "defenses",
        "enrollment",
        "evidence",
        "framing",
        "job",
        "judge",
        "kernel",
        "medium",
        "metrics",
        "metrics.lpips",
        "outputs",
        "series",
        "similarity",
        "transcription",
        "verification",
        "victims",
        "victims.folding",
        "victims.mixed",
    }
)
"""All that it takes to attack a victim, without Ray and without a results folder."""

MAY_IMPORT = {
    "errors": set(),
    "component": {"errors"},
    "chain": {"component", "errors", "spec"},
    "ensemble": {"component", "errors", "spec"},
    "registry": {"component", "errors"},
    "costs": {"errors"},
    "spec": {"component", "costs", "errors"},
    "keys": {"errors"},
    "metrics": {"errors"},
    "metrics.lpips": {"assets", "pins"},
    "assets": {"errors"},
    "sdist_backend": set(),
    "data.alignment": set(),
    "data.pins": {"assets"},
    "channels.pins": {"assets"},
    "data.pins_audio": {"assets"},
    "data.pins_sounds": {"assets", "data.pins_audio"},
    "data.pins_voices": {"assets", "data.pins_audio"},
    "victims.pins_sound": {"assets"},
    "victims.pins_speech": {"assets"},
    "pins": {
        "assets",
        "channels.pins",
        "data.pins",
        "data.pins_audio",
        "data.pins_sounds",
        "data.pins_voices",
        "victims.pins_sound",
        "victims.pins_speech",
    },
    "audioset": {"assets", "errors", "pins"},
    "mnist_split": {"errors"},
    "randomness": {"errors"},
    "channels": {"assets", "chain", "channels.pins", "component", "errors", "keys", "pins", "randomness"},
    "constraints": {"component", "errors", "randomness", "spec"},
    "goals": {"component", "errors", "randomness", "spec"},
    "batch_sizes": set(),
    "sample_errors": set(),
    "sight": {"sample_errors"},
    "ledger": {"spec"},
    "oracle": WORDS | {"batch_sizes", "ledger"} | SEARCH - {"oracle"},
    "attacks": {"component", "errors", "metrics"} | SEARCH,
    "victims": WORDS | FILES | {"audioset", "data.alignment", "randomness", "victims.mixed"},
    "victims.folding": {"arithmetic"},
    "victims.mixed": {"batch_sizes", "victims.folding"},
    "victims.train_signs": WORDS | FILES | {"channels", "data", "randomness", "victims"},
    "defenses": WORDS | {"channels", "metrics", "randomness", "victims"},
    "data": WORDS
    | FILES
    | {"audioset", "data.alignment", "data.pins", "data.pins_audio", "data.pins_sounds", "data.pins_voices"},
    "similarity": {"component", "errors", "victims"},
    "medium": set(),
    "memory": set(),
    "arithmetic": set(),
    "outputs": SEARCH,
    "judge": WORDS | SEARCH | {"medium", "metrics", "outputs"},
    "masks": {"attacks", "data"},
    "framing": {"data.alignment"},
    "enrollment": {"component"},
    "verification": WORDS | SEARCH | {"enrollment", "judge", "metrics", "outputs", "similarity", "victims"},
    "transcription": WORDS | SEARCH | {"judge", "metrics", "outputs", "victims"},
    "batch": WORDS | SEARCH | {"framing", "medium", "transcription", "verification"},
    "kernel": WORDS
    | SEARCH
    | {"batch", "judge", "metrics", "outputs", "transcription", "verification", "victims.mixed"},
    "job": WORDS,
    "series": WORDS,
    "evidence": set(),
    "units": WORDS | {"enrollment", "victims"},
    "misfits": WORDS | {"job", "metrics", "units", "victims"},
    "grid": WORDS | {"enrollment", "job", "misfits", "series", "units", "victims"},
    "results": WORDS | {"metrics"},
    "engine": RUN | {"arithmetic", "batch_sizes", "costs", "data.pins", "grid", "memory", "results", "units"},
    "notebook": RUN | {"arithmetic", "notebook_inputs"},
    "notebook_inputs": {"errors", "job", "outputs", "spec"},
    "bench_inputs": RUN | {"batch_sizes"},
    "bench": RUN | {"arithmetic", "bench_inputs", "memory", "notebook"},
    "bench_peers": RUN | {"bench"},
    "bench_compare": RUN | {"bench", "bench_peers"},
    "bench_alike": RUN,
    "bench_suites": RUN | {"bench_alike", "bench_inputs", "notebook"},
    "bench_defenses": RUN | {"bench", "bench_inputs"},
    "bench_audio": RUN | {"bench", "bench_inputs"},
    "bench_audio_peer": RUN | {"bench", "bench_audio"},
    "describe": WORDS | FILES | {"victims"},
    "raygrid": {"errors", "notebook", "results"},
    "cli_bench": {
        "bench",
        "bench_audio",
        "bench_audio_peer",
        "bench_compare",
        "bench_defenses",
        "bench_suites",
    },
    "cli": RUN | {"cli_bench", "describe", "engine", "grid", "notebook", "raygrid", "results"},
}
"""Area -> areas it may import, besides itself. A new area takes one line here."""

TORCH = {"torch", "torchvision", "torchaudio"}
PLANNING = (
    "raygrid.*.catalog*",
    "raygrid.*.pins",
    "raygrid.assets",
    "raygrid.chain",
    "raygrid.channels.response_files",
    "raygrid.component",
    "raygrid.data.dataset",
    "raygrid.engine.driver",
    "raygrid.engine.estimate",
    "raygrid.engine.executor",
    "raygrid.engine.inputs",
    "raygrid.engine.measures",
    "raygrid.engine.placement",
    "raygrid.engine.preflight",
    "raygrid.engine.progress",
    "raygrid.engine.remarks",
    "raygrid.engine.rows",
    "raygrid.engine.run",
    "raygrid.engine.session",
    "raygrid.engine.work",
    "raygrid.ensemble",
    "raygrid.errors",
    "raygrid.evidence",
    "raygrid.grid",
    "raygrid.job",
    "raygrid.job.*",
    "raygrid.keys",
    "raygrid.mnist_split",
    "raygrid.pins",
    "raygrid.registry",
    "raygrid.series",
    "raygrid.spec",
    "raygrid.victims.ctc_text",
    "raygrid.victims.ensemble",
    "raygrid.victims.hama_g2p",
    "raygrid.victims.hama_text",
    "raygrid.victims.info",
    "raygrid.victims.onnx_tensors",
    "raygrid.victims.wav2vec2_file",
    "raygrid.victims.wav2vec2_text",
)
"""Patterns of the modules that declare, parse and plan: the driver's."""
NETS = ("raygrid.data.make_tiles", "raygrid.data.make_orl_landmarks", "raygrid.data.face_detection")
"""Scripts that made files of the package, with nets, and the nets that find faces; imported where they run."""


@dataclass(frozen=True)
class Ban:
    """Packages that some modules do without."""

    why: str
    packages: set[str]
    modules: tuple[str, ...] = ("*",)
    but: tuple[str, ...] = ()
    in_functions: bool = True
    """Whether an import inside a function is banned too."""

    def covers(self, module: str) -> bool:
        return any(fnmatch(module, p) for p in self.modules) and not any(fnmatch(module, p) for p in self.but)


BANS = [
    Ban("only the engine knows Ray", {"ray"}, but=("raygrid.engine", "raygrid.engine.*")),
    Ban("planning needs no torch", TORCH, PLANNING),
    Ban(
        "results are read without torch", TORCH, ("raygrid.results", "raygrid.results.*", "raygrid.metrics.statistics")
    ),
    Ban("data are Arrow tables", {"torch", "torchaudio"}, ("raygrid.data", "raygrid.data.*"), but=NETS),
    Ban("torchvision waits for its datasets", TORCH, ("raygrid.data.*",), but=NETS, in_functions=False),
]


@dataclass(frozen=True)
class Import:
    """One target of one import statement."""

    importer: str
    target: str
    line: int
    deferred: bool
    """Inside a function, or for type checkers only: importing the importer does not run it."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted((ROOT / "raygrid").rglob("*.py"))}


def scan(importer: str) -> Iterator[Import]:
    """Yield the imports of a module; `from package import module` counts as an import of the module."""
    path = SOURCES[importer]
    package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text()), False)]
    while pending:
        node, deferred = pending.pop()
        deferred |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_type_checkers(node)
        pending += [(child, deferred) for child in ast.iter_child_nodes(node)]
        for target in targets(node, package):
            yield Import(importer, target, node.lineno, deferred)


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def targets(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        origin = resolve_name("." * node.level + (node.module or ""), package)
        return [name if (name := f"{origin}.{alias.name}") in SOURCES else origin for alias in node.names]
    return []


IMPORTS = [found for module in SOURCES for found in scan(module)]
INTERNAL = [found for found in IMPORTS if found.target.partition(".")[0] == "raygrid"]


def area(module: str) -> str:
    """The part that a module belongs to, by the longest name that has a line: `raygrid.victims.info` -> `victims`."""
    name = module.removeprefix("raygrid.")
    while name not in MAY_IMPORT and "." in name:
        name = name.rpartition(".")[0]
    return name


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter and return the top-level packages that it leaves imported."""
    report = "import json, sys; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_area_has_its_line():
    assert {area(module) for module in SOURCES} <= set(MAY_IMPORT)


def test_the_areas_are_layers():
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_an_area_imports_only_what_lies_below_it(name):
    allowed = MAY_IMPORT[name] | {name}
    assert [str(i) for i in INTERNAL if area(i.importer) == name and area(i.target) not in allowed] == []


@pytest.mark.parametrize("ban", BANS, ids=lambda ban: ban.why)
def test_a_heavy_package_stays_where_it_belongs(ban):
    suspects = [i for i in IMPORTS if ban.covers(i.importer) and (ban.in_functions or not i.deferred)]
    assert [str(i) for i in suspects if i.target.partition(".")[0] in ban.packages] == []


def test_no_modules_import_each_other():
    graph: dict[str, set[str]] = {module: set() for module in SOURCES}
    for found in INTERNAL:
        if not found.deferred and found.target != found.importer:
            graph[found.importer].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(cycle.args[1]))


def test_every_folder_of_modules_is_a_package_and_so_in_the_wheel():
    assert [path for path in SOURCES.values() if not (path.parent / "__init__.py").exists()] == []


FRESH = {
    "import raygrid": ("import raygrid", TORCH | {"ray", "pydantic", "pyarrow", "duckdb"}),
    "the modules that plan": (
        "\n".join(f"import {name}" for name in SOURCES if any(fnmatch(name, p) for p in PLANNING)),
        TORCH | {"ray"},
    ),
    "reading results": (
        "\n".join(f"import {name}" for name in SOURCES if area(name) == "results"),
        TORCH | {"ray"},
    ),
    "raygrid --help": (
        "import contextlib, sys\nfrom raygrid.cli import main\nsys.argv = ['raygrid', '--help']\n"
        "with contextlib.suppress(SystemExit):\n    main()",
        TORCH | {"ray"},
    ),
}


@pytest.mark.parametrize(("program", "unwanted"), FRESH.values(), ids=FRESH.keys())
def test_does_not_load(program, unwanted):
    assert loaded_by(program) & unwanted == set()
