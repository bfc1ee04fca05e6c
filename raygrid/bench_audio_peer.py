"""Commands over the air beside the one peer, asr-attacks: the same recognizer, carrier, phrase, training rooms, judge and time.

asr-attacks has the room-robust attack of Qin et al. (ICML 2019) without their masking: an L-inf ball that shrinks while one
random room is deceived, then a few rooms a step. It is no dependency; it is imported where it is called.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from raygrid.bench import seconds
from raygrid.bench_audio import Task, bare, command, time_step
from raygrid.channels.catalog_audio import Noise, Room
from raygrid.channels.noise import noise
from raygrid.channels.room import room
from raygrid.channels.room_bank import bank
from raygrid.medium import read_back, stored
from raygrid.metrics.signal import snr_db
from raygrid.randomness import Randomness

PEER, MODULES = "asr-attacks", ("asr_attacks", "jiwer", "tqdm")
PLAYS = 30
"""Judged rooms."""
HEARD_THROUGH = Noise(kind="pink", snr=20.0)
R1_SHARE, R2_ROOMS = 0.4, 10
"""Share of the time for the first stage of the peer, which must deceive one room before the second begins, and rooms in each step
of that. By its default, two steps of the second for each of the first, two minutes end before any room is deceived."""
DECODED = 1 / 10
"""Share of its steps whose rooms it also decodes."""
OURS = {"noise": False, "band": None, "plays": 4}
"""Parameters of ours where they are no defaults: without noise and at any frequency, as the peer. More steps of fewer rooms find
more at so high an SNR: 54 to 56 of 60 rooms of another bank by 2, 4 and 8 in a step, and 42 by 16, in as many passes."""
OTHER_WORK = 1.1
"""What our steps cost beside those without validation, about: 20 plays every 25 steps."""
TIMED = 25
"""Steps that are timed to tell how many fit."""
MOST_STEPS = 100_000
SIGNS = 0xE000
"""First of the characters for private use, by which the peer, which spells by single characters, is told the tokens."""


@dataclass(frozen=True)
class Outcome:
    """What one attack made of one carrier."""

    who: str
    seconds: float
    passes: int
    """Waveforms that went forward through the recognizer while it crafted."""
    snr_db: float
    rooms: int
    """Of 30 judged rooms: in how many exactly the phrase was heard, without noise."""
    noisy: int
    """The same with pink noise 20 dB below."""


def installed() -> bool:
    """Whether the peer can be run here."""
    return all(find_spec(module) is not None for module in MODULES)


def peer_table(victim: str, phrase: str, samples: int, allowed: float, device: str) -> Table:
    """Hide a phrase in some carriers by asr-attacks, and then by ours in no more time and at the SNR that the peer ended at.

    Args:
        victim: name of a built-in recognizer.
        phrase: what is to be heard.
        samples: carriers, one after the other.
        allowed: seconds for each example.
        device: a torch device.

    Raises:
        UsageError: as `bench_audio.command`.
    """
    table = Table(
        title=f'"{phrase}" on {victim}, {allowed:.0f} s each, {torch.get_num_threads()} threads, {device}',
        caption=f"plays in {PLAYS} judged rooms in which exactly the phrase is heard, of 16-bit files; noise: pink, 20 dB below"
        + ("" if installed() else f"; {PEER} is not installed: ours alone"),
    )
    for heading in ("carrier", "by", "seconds", "passes", "SNR", "rooms", "rooms + noise"):
        table.add_column(heading, justify="left" if heading in {"carrier", "by"} else "right")
    whole = command(victim, phrase, samples, device)
    for i in range(samples):
        task = replace(whole, x=whole.x[i : i + 1], ids=whole.ids[i : i + 1])
        for row, outcome in enumerate(side_by_side(task, allowed)):
            table.add_row(
                task.ids[0] if row == 0 else "",
                outcome.who,
                f"{outcome.seconds:.0f}",
                str(outcome.passes),
                f"{outcome.snr_db:.1f}",
                str(outcome.rooms),
                str(outcome.noisy),
            )
    return table


def side_by_side(task: Task, allowed: float) -> list[Outcome]:
    """Run the peer, where it is installed, and ours at the SNR and in the time that it took."""
    outcomes = [] if not installed() else [attempt(task, f"{PEER} {version(PEER)}", lambda: peer(task, allowed))]
    if outcomes:
        allowed = min(allowed, outcomes[0].seconds)
    limit = outcomes[0].snr_db if outcomes else task.params.model_dump()["snr_db"]
    ours = within(replace(task, params=task.params.model_copy(update={**OURS, "snr_db": limit})), allowed)
    return [*outcomes, attempt(ours, "raygrid", ours.run)]


def within(task: Task, allowed: float) -> Task:
    """Return the task with as many steps as fit in some seconds, by a few that are timed first."""
    few = replace(task, params=task.params.model_copy(update={"steps": TIMED, "every": TIMED, "validation": 1}))
    step = time_step(few, 1).seconds
    steps = min(MOST_STEPS, max(2, round(allowed / (OTHER_WORK * step))))
    return replace(task, params=task.params.model_copy(update={"steps": steps}))


def attempt(task: Task, who: str, craft: Callable[[], Tensor]) -> Outcome:
    """Craft an example [1, T], with the global random numbers put back afterwards, and judge the file."""
    shown: list[int] = []
    handle = task.victim.register_forward_hook(lambda module, inputs, output: shown.append(len(output)))
    numbers = np.random.get_state()
    started = time.perf_counter()
    try:
        with torch.random.fork_rng(devices=[task.x.device] if task.x.is_cuda else []):
            torch.manual_seed(0)
            z = craft()
    finally:
        handle.remove()
        np.random.set_state(numbers)
    taken = time.perf_counter() - started
    z = read_back(stored(z, task.x), task.x)
    return Outcome(
        who, taken, sum(shown), float(snr_db(z, task.x)[0]), *(judged(task, z, noisy) for noisy in (False, True))
    )


def judged(task: Task, z: Tensor, noisy: bool) -> int:
    """Return in how many judged rooms exactly the phrase is heard in z [1, T]."""
    randomness, index, met = Randomness(0, "channel", task.ids), torch.arange(1), 0
    for play in range(PLAYS):
        heard = room(Room(), z, randomness, f"judge/{play}", index)
        heard = noise(HEARD_THROUGH, heard, randomness, f"judge/{play}", index) if noisy else heard
        with torch.no_grad():
            scores = task.hearing(task.victim(heard), index.to(z.device))
        met += int(task.goal.met(scores).sum())
    return met


def peer(task: Task, allowed: float) -> Tensor:
    """Run the peer's room-robust attack in the training rooms of ours, in as many of its steps as fit in some seconds. Returns the
    example [1, T]."""
    package: Any = import_module("asr_attacks")
    rooms: Any = import_module("asr_attacks.rooms")
    text = task.victim.text
    labels = [chr(SIGNS + token) for token in range(len(text.tokens))]
    backend = package.CTCModuleBackend(task.victim, labels=labels, device=str(task.x.device), blank_id=text.blank)
    trained = bank(Room(train=task.params.model_dump()["rooms"]), "train")
    simulator = rooms.RoomSimulator.from_rirs(
        [response[:length].numpy() for response, length in zip(trained.responses, trained.lengths, strict=True)]
    )
    simulator._rng = np.random.default_rng(0)  # from_rirs takes no seed
    both = seconds(lambda: bare(task.victim, task.x), task.x)
    both = min(both, *(seconds(lambda: bare(task.victim, task.x), task.x) for _ in range(3)))
    passes = allowed / (both * (1 + DECODED))
    found = package.ASRAttacker(backend, verbose=False).imperceptible(
        task.x[0],
        "".join(labels[token] for token in text.spell(task.phrase)),
        mode="robust",
        rooms=simulator,
        num_iter_r1=max(2, round(R1_SHARE * passes)),
        num_iter_r2=max(2, round((1 - R1_SHARE) * passes / R2_ROOMS)),
    )
    return torch.as_tensor(found, device=task.x.device).view(1, -1).to(task.x)
