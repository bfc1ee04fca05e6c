"""What defenses cost beside the bare victim: time and memory of an answer, and votes against their floor, in the same run."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from raygrid import registry
from raygrid.bench import check_bytes, seconds, watched
from raygrid.bench_inputs import some_samples, some_victim, usable_device
from raygrid.component import resolve
from raygrid.defenses.defended import Defended
from raygrid.defenses.noise import INPUT
from raygrid.job.yaml12 import Mark, read_text
from raygrid.randomness import Randomness
from raygrid.victims.victim import Victim

PARAMS: dict[str, tuple[dict[str, Any], ...]] = {
    "noise": (
        {"sigma": 0.5, "unit": "std"},
        {"sigma": 0.5, "unit": "std", "votes": 20},
        {"site": "all", "sigma": 0.5, "unit": "std"},
        {"site": "all", "sigma": 0.5, "unit": "std", "votes": 20},
    ),
    "smoothing": ({"sigma": 0.25},),
    "multi-scale": ({}, {"crops": "corners", "flips": True}),
    "feature-squeezing": ({"threshold": 1.0},),
    "output-policy": ({"top": 1, "step": 0.01}, {"label_only": True}),
}
"""Defense -> parameters that it is timed at, where its defaults say too little or there are none."""
SIGMA = 0.5
"""Of noise whose votes are timed, in standard deviations of the layer."""
MOST_SITES = 3
"""Hidden layers whose votes are timed where nobody names any: the first, one in the middle and the last behind a rectifier."""


@dataclass(frozen=True)
class Cost:
    """Medians of interleaved repetitions, and the memory of one."""

    seconds: float
    """Of one answer to the batch, with the alarm where the defense has one."""
    ratio: float
    """The same over a pass of the bare victim: the median over pairs of neighbors, which share what else the machine does."""
    peak_bytes: int
    """What tensors of an answer hold at once at most, over the batch and the weights; see `peak_bytes`."""


@dataclass(frozen=True)
class Votes:
    """Medians of interleaved repetitions of votes and of their floor."""

    seconds: float
    floor_seconds: float
    ratio: float
    """The median over pairs of neighbors."""
    passes: int
    """In how many the rest of the victim sees the draws."""


def defended(victim: Victim, x: Tensor, texts: Sequence[str]) -> Iterator[tuple[str, Victim]]:
    """Yield defended victims with what each is called; what has to be measured first is measured on x [B, C, H, W].

    Args:
        victim: the bare one.
        x: clean pixels.
        texts: each a defense's name, for the parameters of `PARAMS` or its defaults, or one with parameters as job files have it:
            `{use: noise, site: relu2, sigma: 0.5, votes: 20}`.

    Raises:
        UsageError: an unknown name, a wrong parameter, or no such layer.
    """
    for text in texts:
        use = read_text(text, lambda line, column: Mark("--defense"), "").plain()
        values = dict(use) if isinstance(use, dict) else {"use": use}
        component = registry.find("defense", str(values.pop("use", "")))
        for some in [values] if values else PARAMS.get(component.name, ({},)):
            params = registry.parse(component, some)
            build = resolve(component.build)
            if params.needs_fit():
                yield (
                    params.named(component.name),
                    build(params, victim, resolve(component.fit or "")(params, victim, x, None)),
                )
            else:
                yield params.named(component.name), build(params, victim)


def defense_table(
    victims: Sequence[str], data: str | None, defenses: Sequence[str], samples: int, repeats: int, device: str
) -> Table:
    """Time an answer of every defense beside the bare victim.

    Args:
        victims: as job files name them.
        data: a dataset likewise; None: one of raygrid's own of the victim's input shape.
        defenses: as `defended` takes them; empty: every one that is not for sound alone.
        samples: in the batch.
        repeats: interleaved repetitions.
        device: a torch device.

    Raises:
        UsageError: an unknown name, a wrong parameter, or no such layer.
    """
    table = Table(
        title=f"an answer to {samples} samples, {torch.get_num_threads()} threads, {device}, median of {repeats}",
        caption="MB: what tensors hold at once at most, besides batch and weights; with the alarm where there is one",
    )
    for heading in ("victim", "defense", "ms", "/ bare", "MB", "/ bare"):
        table.add_column(heading, justify="left" if heading in {"victim", "defense"} else "right")
    known = [component for component in registry.of_kind("defense") if component.task == "classification"]
    names = defenses or [component.name for component in known]
    for name in victims:
        victim = some_victim(name).to(usable_device(device))
        x = some_samples(victim, samples, data)[0].to(device)
        bare = peak_bytes(_answer(victim, x), x)
        for label, model in defended(victim, x, names):
            cost = time_defense(model, victim, x, repeats)
            table.add_row(
                victim.info.id,
                label,
                f"{1e3 * cost.seconds:.2f}",
                f"{cost.ratio:.2f}",
                f"{cost.peak_bytes / 1e6:.1f}",
                f"{cost.peak_bytes / bare:.2f}",
            )
    return table


def time_defense(model: Victim, victim: Victim, x: Tensor, repeats: int) -> Cost:
    """Time an answer of a defended victim to x [B, C, H, W] against a pass of the bare one, in turns."""
    answer = _answer(model, x)

    def bare() -> None:
        victim(x)

    with torch.no_grad():
        bare()
        answer()
        times = [(seconds(answer, x), seconds(bare, x)) for _ in range(repeats)]
        peak = peak_bytes(answer, x)
    return Cost(median(time for time, _ in times), median(time / floor for time, floor in times), peak)


def _answer(model: Victim, x: Tensor) -> Callable[[], None]:
    """Return what makes a victim answer, at the same draws each time."""
    numbers = Randomness(0, "defense", [str(i) for i in range(len(x))])
    everyone, looks = torch.arange(len(x)), ["judge/0"] * len(x)  # whoever asks has them

    def work() -> None:
        draws = numbers.draws(everyone, looks)
        model(x, draws) if isinstance(model, Defended) else model(x)
        if isinstance(model, Defended) and model.alarm is not None:
            model.alarm(x, draws)

    return work


def peak_bytes(work: Callable[[], object], x: Tensor) -> int:
    """Return how many bytes some work on the device of x holds at once at most, over what is held before, without gradients.

    On a GPU these are torch's own figures. On a CPU they are what goes through torch's allocator (its profiler tells), without what
    a library below takes for itself.
    """
    with torch.no_grad():
        if x.is_cuda:
            torch.cuda.reset_peak_memory_stats(x.device)
            before = torch.cuda.memory_allocated(x.device)
            work()
            return torch.cuda.max_memory_allocated(x.device) - before
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as watch:
            work()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        watch.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    taken = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    held = most = 0
    for _, size in taken:
        held += size
        most = max(most, held)
    return most


def vote_table(
    victims: Sequence[str],
    data: str | None,
    sites: Sequence[str],
    votes: Sequence[int],
    samples: int,
    repeats: int,
    device: str,
) -> Table:
    """Time votes over Gaussian noise against their floor, see `time_votes`.

    Args:
        victims: as job files name them.
        data: a dataset likewise; None: one of raygrid's own of the victim's input shape.
        sites: `input` and layers; empty: the input and some layers of each victim, see `some_sites`.
        votes: numbers of them.
        samples: in the batch.
        repeats: interleaved repetitions.
        device: a torch device.

    Raises:
        UsageError: an unknown victim, no such layer, or too many values.
    """
    table = Table(
        title=f"votes on {samples} samples, {torch.get_num_threads()} threads, {device}, median of {repeats}",
        caption="floor: the layers before, once, those after for every vote, and drawing the bare noise",
    )
    for heading in ("victim", "site", "votes", "passes", "ms", "floor", "votes / floor"):
        table.add_column(heading, justify="left" if heading in {"victim", "site"} else "right")
    for name in victims:
        victim = some_victim(name).to(usable_device(device))
        x = some_samples(victim, samples, data)[0].to(device)
        for site in sites or some_sites(victim):
            for number in votes:
                timing = time_votes(victim, x, site, number, repeats)
                table.add_row(
                    victim.info.id,
                    site,
                    str(number),
                    str(timing.passes),
                    f"{1e3 * timing.seconds:.2f}",
                    f"{1e3 * timing.floor_seconds:.2f}",
                    f"{timing.ratio:.3f}",
                )
    return table


def some_sites(victim: Victim) -> list[str]:
    """Return the input, and the first, middle and last of the layers behind a rectifier; of all layers where there is none."""
    layers = victim.layers
    hidden = [name for name in layers.names if layers.rectified(name) and "relu" in name.lower()] or layers.names
    return [INPUT, *dict.fromkeys(hidden[i * (len(hidden) - 1) // (MOST_SITES - 1)] for i in range(MOST_SITES))]


def time_votes(victim: Victim, x: Tensor, site: str, votes: int, repeats: int) -> Votes:
    """Time votes at a site on x [B, C, H, W] against their floor, in turns.

    The floor runs the layers before the site once, those after it over the very values that the votes are of, in as many passes,
    and draws as many normal numbers as they take, where they are drawn: on the CPU, from one generator. It neither adds them nor
    votes.

    Raises:
        UsageError: there is no such layer, or the values take more than `MOST_BYTES` of bench_inputs.py.
    """
    (_, model), *_ = defended(victim, x, [f"{{use: noise, site: {site}, sigma: {SIGMA}, unit: std, votes: {votes}}}"])
    place = 0 if site == INPUT else victim.layers.place(site)
    work = _answer(model, x)
    with torch.no_grad():
        with _values(victim, place) as values:
            work()

        def floor() -> None:
            if place:
                victim.layers.run(victim.inside(x), 0, place)
            for z in values:
                torch.randn(z.shape).to(z)
                victim.layers.run(z, place) if place else victim(z)

        floor()
        times = [(seconds(work, x), seconds(floor, x)) for _ in range(repeats)]
    taken, least = (median(column) for column in zip(*times, strict=True))
    return Votes(taken, least, median(time / bare for time, bare in times), len(values))


@contextmanager
def _values(victim: Victim, place: int) -> Iterator[list[Tensor]]:
    """Keep the values [B * copies, ...] that the stages behind a place are run on; at place 0, those that the victim is shown.

    Raises:
        UsageError: in the pass by which they take more than `MOST_BYTES` of bench_inputs.py.
    """
    if not place:
        values: list[Tensor] = []
        with watched(victim) as passes:
            yield values
        values += [z for z, _ in passes]
        return
    stages, values = victim.layers.stages, []
    stage = stages[place]

    def keep(h: Tensor) -> Tensor:
        values.append(h.clone())
        check_bytes(values, "samples or votes")
        return stage.run(h)

    stages[place] = replace(stage, run=keep)
    try:
        yield values
    finally:
        stages[place] = stage
