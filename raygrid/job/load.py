"""A job file -> Job: reads, overrides, validates, and tells every mistake at once with its place."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from raygrid import registry
from raygrid.job.fields import JobFields
from raygrid.job.grids import GridReader
from raygrid.job.overrides import apply_overrides
from raygrid.job.reading import Mistakes, Thing, read_fields, show
from raygrid.job.uses import Table
from raygrid.job.yaml12 import Mark, Node, read_file
from raygrid.spec import Job

GRID_NAME = re.compile(r"[A-Za-z0-9_-]+")


def load_job(
    path: Path,
    overrides: Sequence[str] = (),
    results: str | None = None,
    components: Table | None = None,
) -> Job:
    """Load and validate a job file. Imports no torch and runs nothing that the job names.

    An editor completes and checks a job file whose first line is `# yaml-language-server: $schema=./job.schema.json`.

    Args:
        path: the YAML file.
        overrides: `path=value` texts, such as `grids.imagenet.data.limit=5`; the values are YAML.
        results: replaces the file's `results`.
        components: the table of components; default: all that are registered.

    Raises:
        UsageError: all mistakes at once, one message each: `file:line:col: path: what`, or `-s path: what` of an
            override.
    """
    mistakes = Mistakes()
    root = apply_overrides(read_file(path, mistakes.refuse), overrides, mistakes)
    if not isinstance(root.value, dict):
        mistakes.add(root, f"a job must be a mapping with version and grids, not {show(root)}")
        raise mistakes.error()
    if results is not None:
        option = Mark("--results")
        root = replace(root, value={**root.value, "results": Node(option, "results", results, option)})
    top = read_fields(JobFields, root, Thing("the job", ("grids",)), mistakes)
    reader = GridReader(registry.components() if components is None else components, mistakes)
    grids = [reader.read(name, node) for name, node in _named_grids(root, mistakes)]
    if mistakes.found:
        raise mistakes.error()
    name = top[0].name or re.sub(r"[^\w.-]+", "-", path.stem)
    job = Job(
        name=name,
        seeds=tuple(fields.seed for fields in top),
        results=top[0].results or f"results/{name}",
        grids=tuple(grid for grid, _ in grids),
        file=str(path),
        places=dict(_places(root)),
    )
    seed = list(job.seeds) if len(job.seeds) > 1 else job.seeds[0]
    written = {"version": top[0].version, "name": name, "seed": seed, "results": job.results}
    return replace(job, resolved={**written, "grids": {grid.name: said for grid, said in grids}})


def _places(node: Node) -> Iterator[tuple[str, str]]:
    """Yield the path of every key of a file, and where it stands."""
    for child in node.value.values() if isinstance(node.value, dict) else ():
        yield child.path, str(child.key_at)
        yield from _places(child)


def _named_grids(root: Node, mistakes: Mistakes) -> Iterator[tuple[str, Node]]:
    node = root.child("grids")
    if node is root:
        mistakes.add(root, 'the job needs "grids"')
    elif not isinstance(node.value, dict) or not node.value:
        mistakes.add(node, "must be a mapping of names to grids, at least one")
    else:
        for name, grid in node.value.items():
            if not GRID_NAME.fullmatch(name):
                mistakes.add(grid, "the name of a grid is made of letters, digits, _ and -", grid.key_at)
            yield name, grid
