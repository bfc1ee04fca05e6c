"""What a step of an attack over the air costs beside the recognizer's bare passes over the same batch, whole and by stage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from rich.table import Table
from torch import Tensor

from raygrid import registry
from raygrid.attacks.over_the_air import Limits, Moments
from raygrid.attacks.rehearsal import Practice
from raygrid.bench import seconds, watched
from raygrid.bench_inputs import usable_device
from raygrid.channels.device import band_mask
from raygrid.component import Params, resolve
from raygrid.constraints import Constraint
from raygrid.data.dataset import pixels
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.transcription import Frames, Hearing
from raygrid.victims.recognizer import Recognizer

ATTACK = "over-the-air"
CARRIERS = "music-carriers"
BOX = Constraint("linf", math.inf, -1.0, 1.0)


@dataclass(frozen=True)
class Task:
    """A command to be hidden in some carriers."""

    victim: Recognizer
    x: Tensor
    """Carriers [N, T] at 16 kHz."""
    ids: tuple[str, ...]
    phrase: str
    params: Params
    """Of the attack."""

    @property
    def goal(self) -> Goal:
        """That the phrase is heard."""
        return Goal("transcribe", torch.zeros(len(self.x), dtype=torch.long, device=self.x.device))

    @property
    def hearing(self) -> Hearing:
        """What decides whether it is."""
        wanted = self.victim.text.spell(self.phrase)
        return Hearing(Frames(self.victim.text), [wanted] * len(self.x), [None] * len(self.x), garbles=False)

    def run(self) -> Tensor:
        """Run the attack to its end. Returns the examples [N, T]."""
        oracle = Oracle(self.victim, len(self.x), stop_early=False, device=self.x.device, readout=self.hearing)
        search = resolve(registry.find("attack", ATTACK).build)
        found: Tensor = search(oracle, self.goal, self.x, BOX, self.randomness, **dict(self.params))
        return found

    @property
    def randomness(self) -> Randomness:
        """The carriers' streams."""
        return Randomness(0, ATTACK, self.ids)


@dataclass(frozen=True)
class StepCost:
    """Medians of interleaved repetitions, of one step."""

    seconds: float
    floor_seconds: float
    ratio: float
    """The median over pairs of neighbors, which share what else the machine does."""
    passes: tuple[int, int]
    """Waveforms a step, and samples of each."""


def recognizer(name: str, device: str) -> Recognizer:
    """Return a built-in recognizer that gives gradients.

    Raises:
        UsageError: there is none of this name, or it does something else.
    """
    component = registry.find("victim", name)
    params = registry.parse(component, {})
    info = resolve(component.identify or "")(params, name)
    if info.task != "transcription":
        raise UsageError(f'victim "{name}" does {info.task}; {ATTACK} is timed on recognizers, such as hama')
    victim = resolve(component.build)(params, info)
    if not isinstance(victim, Recognizer):
        raise UsageError(
            f'victim "{name}" gives no gradient of what it writes; {ATTACK} is timed on one that does: hama'
        )
    return victim.to(usable_device(device))


def command(name: str, phrase: str, samples: int, device: str, **params: object) -> Task:
    """Return the task to hide a phrase in so many music carriers, with these parameters of the attack.

    Raises:
        UsageError: an unknown name, a phrase that can't be said, or a wrong parameter.
    """
    victim = recognizer(name, device)
    data = registry.find("data", CARRIERS)
    table = resolve(data.build)(registry.parse(data, {}), samples).table
    if len(table) < samples:
        raise UsageError(f"{CARRIERS} has {len(table)} carriers, not {samples}")
    attack = registry.find("attack", ATTACK)
    x = torch.tensor(pixels(table), device=device)
    task = Task(victim, x, tuple(table.column("sample_id").to_pylist()), phrase, registry.parse(attack, dict(params)))
    victim.text.spell(phrase)
    return task


def step_table(
    victims: Sequence[str], phrase: str, samples: int, plays: int, steps: int, repeats: int, device: str
) -> Table:
    """Time steps of the attack against their floor, and the stages of a step one by one.

    Args:
        victims: names of built-in recognizers.
        phrase: what is to be heard.
        samples: carriers in a batch.
        plays: of each a step.
        steps: that are timed together; validation is left out, but for one play of the last point.
        repeats: interleaved repetitions.
        device: a torch device.

    Raises:
        UsageError: as `command`; or the points of all passes take too much memory.
    """
    table = Table(
        title=f"a step of {ATTACK}: {samples} carriers, {plays} plays of each, {torch.get_num_threads()} threads, {device}, "
        f"median of {repeats}",
        caption="floor: forward and backward passes of the bare recognizer over the very waveforms, and nothing else",
    )
    for heading in ("victim", "stage", "ms", "/ floor"):
        table.add_column(heading, justify="left" if heading in {"victim", "stage"} else "right")
    for name in victims:
        task = command(name, phrase, samples, device, plays=plays, steps=steps, every=steps, validation=1)
        cost = time_step(task, repeats)
        table.add_row(name, "a step", f"{1e3 * cost.seconds:.1f}", f"{cost.ratio:.3f}")
        table.add_row("", "floor", f"{1e3 * cost.floor_seconds:.1f}", "1")
        for stage, (taken, share) in time_stages(task, repeats).items():
            table.add_row("", f"  {stage}", f"{1e3 * taken:.1f}", f"{share:.3f}", style="dim")
    return table


def time_step(task: Task, repeats: int) -> StepCost:
    """Time an attack against the passes it issues, in turns: the mean of its steps.

    The floor runs exactly those passes, over the waveforms that the recognizer heard, with the gradient of the waveform only.

    Raises:
        UsageError: these take more memory than `bench.MOST_BYTES`.
    """
    with watched(task.victim) as passes:
        task.run()

    def floor() -> None:
        for heard, with_gradient in passes:
            bare(task.victim, heard, with_gradient)

    floor()
    times = [(seconds(task.run, task.x), seconds(floor, task.x)) for _ in range(repeats)]
    steps = sum(with_gradient for _, with_gradient in passes)
    taken, least = (median(column) / steps for column in zip(*times, strict=True))
    waveforms, length = passes[0][0].shape
    return StepCost(taken, least, median(a / b for a, b in times), (waveforms, length))


def bare(victim: Recognizer, x: Tensor, with_gradient: bool = True) -> None:
    """Run a pass over waveforms x [B, T], with the gradient of a sum of the outputs or without."""
    if not with_gradient:
        with torch.no_grad():
            victim(x)
        return
    z = x.detach().requires_grad_(True)
    outputs = victim(z)
    torch.autograd.grad(outputs, z, torch.ones_like(outputs))


def time_stages(task: Task, repeats: int) -> dict[str, tuple[float, float]]:
    """Time the parts of a step by themselves, in turns.

    Returns:
        Seconds of each, and the same over those of the recognizer's passes.
    """
    stages = _stages(task)
    for work in stages.values():
        work()
    times = [{name: seconds(work, task.x) for name, work in stages.items()} for _ in range(repeats)]
    floor = "the recognizer's passes"
    return {
        name: (median(row[name] for row in times), median(row[name] / row[floor] for row in times)) for name in stages
    }


def _stages(task: Task) -> dict[str, Callable[[], object]]:
    """Return the parts of a step, each on what the one before it gives."""
    p, x, n = dict(task.params), task.x, len(task.x)
    on, who = torch.arange(n, device=x.device), torch.arange(n)
    full = 10 ** (-p["noise_db"] / 20)
    practice = Practice(task.randomness, p["rooms"], p["noise"], full, None, p["plays"], p["validation"], p["sampling"])
    last, successes = torch.ones(n, p["rooms"]), torch.zeros(n, dtype=torch.long)
    most = x.double().square().mean(1, keepdim=True).sqrt() * 10 ** (-(p["snr_db"] or 0) / 20)
    limits, moments = Limits(BOX, p["band"], most), Moments(torch.zeros_like(x), torch.zeros_like(x[:, :1]))
    index = on.repeat_interleave(practice.plays)
    hearing, goal = task.hearing, task.goal.at(index)

    def draw() -> object:
        return practice.step(0, who, last, successes, x.shape[1])

    scene = practice.step(0, who, last, successes, x.shape[1])
    heard = scene.heard(x, on).detach()
    with torch.no_grad():
        outputs = task.victim(heard)
    slope = torch.ones_like(heard)

    def channel() -> object:
        z = x.detach().requires_grad_(True)
        return torch.autograd.grad(scene.heard(z, on), z, slope)

    def decide() -> object:
        some = outputs.detach().requires_grad_(True)
        scores = hearing(some, index)
        return torch.autograd.grad(goal.loss(scores).sum(), some), goal.met(scores.detach())

    def update() -> object:
        g = slope[:n] if p["band"] is None else band_mask(slope[:n], *p["band"])
        return limits.nearest(-p["lr"] * most.to(x) * moments.direction(g, on, 0), x, on)

    return {
        "rooms and noise drawn": draw,
        "rooms and noise applied, and back": channel,
        "the recognizer's passes": lambda: bare(task.victim, heard),
        "decision and its loss, and back": decide,
        "the step itself": update,
    }
