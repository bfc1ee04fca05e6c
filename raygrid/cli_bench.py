"""`raygrid bench`: what attacks and defenses cost, measured here and now."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

Victims = Annotated[
    list[str] | None,
    typer.Option(
        "--victim",
        help="Of pictures, as a job file names it: mnist-cnn, torchvision:resnet18, '{use: module, ...}'; may be repeated.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="As a job file names it: '{use: npz, path: ...}'; else data of raygrid's own that fit the victim."
    ),
]

bench_app = typer.Typer(no_args_is_help=True, help="What attacks and defenses cost, measured here and now.")


@bench_app.command("attacks")
def bench_attacks(
    victims: Victims = None,
    data: Data = None,
    attacks: Annotated[list[str] | None, typer.Option("--attack", help="Attacks; may be repeated.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps, of attacks that have steps.")] = 40,
    queries: Annotated[int, typer.Option(min=1, help="Queries, of attacks that have queries.")] = 500,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Samples in a batch at most, each once; else 128 digits, and of photos 8 on a CPU."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repetitions; the median counts.")] = 7,
    eps: Annotated[
        float | None, typer.Option(min=0, help="Radius, instead of the victim's; leave 30 to 70 % standing.")
    ] = None,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cpus: Annotated[int, typer.Option(min=1, help="Torch threads; a host has one by default.")] = 1,
) -> None:
    """Time attacks against their floor, the passes they issued and no more; then as used, beside peers, with what each achieved.

    Peers are those installed of torchattacks, foolbox, adv-lib and adversarial-robustness-toolbox.

    Example: raygrid bench attacks --victim mnist-cnn --attack pgd --attack square
    Or: raygrid bench attacks --victim torchvision:resnet18 --data "{use: image-folder, path: photos, size: 224}"
    """
    from raygrid.bench import attack_table, threads
    from raygrid.bench_compare import compare_table

    with threads(cpus):
        for table in (attack_table, compare_table):
            _console().print(
                table(victims or ["mnist-cnn"], data, attacks or ["pgd"], steps, queries, samples, repeats, eps, device)
            )


@bench_app.command("defenses")
def bench_defenses(
    victims: Victims = None,
    data: Data = None,
    defenses: Annotated[
        list[str] | None,
        typer.Option("--defense", help="A name, or as in a job file: '{use: jpeg, quality: 50}'; may be repeated."),
    ] = None,
    sites: Annotated[
        list[str] | None, typer.Option("--site", help="Where votes are timed: input or a layer; may be repeated.")
    ] = None,
    votes: Annotated[list[int] | None, typer.Option(min=1, help="How many votes; may be repeated.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples in a batch.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repetitions; the median counts.")] = 7,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cpus: Annotated[int, typer.Option(min=1, help="Torch threads; a host has one by default.")] = 1,
) -> None:
    """Time an answer of every defense beside the bare victim, with its memory; then votes over noise against their floor.

    The floor of votes: one pass of the layers before the noise, one of those after for every vote, and drawing the bare noise.

    Example: raygrid bench defenses --victim mnist-cnn --defense jpeg --site relu2 --votes 20
    """
    from raygrid.bench import threads
    from raygrid.bench_defenses import defense_table, vote_table

    victims = victims or ["mnist-cnn"]
    with threads(cpus):
        _console().print(defense_table(victims, data, defenses or [], samples, repeats, device))
        _console().print(vote_table(victims, data, sites or [], votes or [20, 100], samples, repeats, device))


@bench_app.command("audio")
def bench_audio(
    victims: Annotated[
        list[str] | None, typer.Option("--victim", help="Recognizers to attack; may be repeated.")
    ] = None,
    phrase: Annotated[str, typer.Option(help="What is to be heard.")] = "hello world",
    samples: Annotated[int, typer.Option(min=1, help="Carriers in a batch.")] = 1,
    plays: Annotated[int, typer.Option(min=1, help="Rooms and noises of each a step.")] = 8,
    steps: Annotated[int, typer.Option(min=2, help="Steps timed together.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repetitions; the median counts.")] = 7,
    beside: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Then also craft examples beside asr-attacks (where installed), each in so many seconds, and judge them.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cpus: Annotated[int, typer.Option(min=1, help="Torch threads; a host has one by default.")] = 1,
) -> None:
    """Time a step of over-the-air against the recognizer's bare passes over the same waveforms, whole and by stage.

    Example: raygrid bench audio --phrase "open the door" --plays 16
    """
    from raygrid.bench import threads
    from raygrid.bench_audio import step_table
    from raygrid.bench_audio_peer import peer_table

    names = victims or ["hama"]
    with threads(cpus):
        _console().print(step_table(names, phrase, samples, plays, steps, repeats, device))
        if beside is not None:
            for name in names:
                _console().print(peer_table(name, phrase, samples, beside, device))


@bench_app.command("autoattack")
def bench_autoattack(
    victim: Annotated[str, typer.Option(help="Of pictures, as a job file names it.")] = "mnist-cnn-adv",
    data: Data = None,
    norm: Annotated[str, typer.Option(help="linf, l2 or l1.")] = "linf",
    eps: Annotated[float, typer.Option(min=0, help="Radius; choose one that leaves 30 to 70 % standing.")] = 0.31,
    samples: Annotated[int, typer.Option(min=1, help="Samples at most, each once.")] = 256,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each suite; several show what is luck.")] = 1,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cpus: Annotated[int, typer.Option(min=1, help="Torch threads; a host has one by default.")] = 1,
) -> None:
    """Run AutoAttack and audit beside the authors' code (pyautoattack, where installed): verdicts and time. Minutes.

    A second line of ours has all random numbers of the authors' code: what differs there is not luck.

    Example: raygrid bench autoattack --victim mnist-cnn --norm l2 --eps 1.0 --samples 64
    """
    from rich.console import Console

    from raygrid.bench import threads
    from raygrid.bench_suites import suite_table

    with threads(cpus):
        with Console(stderr=True).status("") as shown:
            table = suite_table(victim, data, norm, eps, samples, seeds, device, shown.update)
        _console().print(table)


def _console() -> "Console":
    from rich.console import Console

    return Console()
