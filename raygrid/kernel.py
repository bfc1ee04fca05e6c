"""One unit of work, without Ray: craft the examples of a shard, or judge them. Hosts and notebooks share it.

What goes wrong with a sample becomes that sample's error, and never stops the others.
"""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from raygrid.component import Access, resolve
from raygrid.constraints import Constraint
from raygrid.goals import Goal, make_goal
from raygrid.judge import TRACEBACK_FRAMES, Outputs, Verdict, judge, run_model
from raygrid.oracle import Oracle, SampleError
from raygrid.randomness import Randomness
from raygrid.spec import AttackSpec

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """The samples of a unit, on the device."""

    ids: Sequence[str]
    x: Tensor
    """Clean inputs [N, C, H, W] in [0, 1]."""
    labels: Tensor
    """True classes [N]."""
    classes: int
    """Number of classes of the dataset."""

    def take(self, where: Sequence[int]) -> "Batch":
        """Return the samples at these positions."""
        index = torch.tensor(where, dtype=torch.long, device=self.x.device)
        return Batch([self.ids[i] for i in where], self.x[index], self.labels[index], self.classes)


@dataclass
class Crafted:
    """Examples and what they cost, sample by sample.

    When a sample's error ends a run, the others are attacked again without it and draw the same numbers as before. Each counts the
    passes of the run that gave its result, as if it had been alone; `repeated` counts the others.
    """

    x_adv: Tensor
    """[N, C, H, W]; the clean input where crafting failed."""
    forwards: list[int]
    backwards: list[int]
    claimed: list[bool]
    """Whether the attack saw its example succeed."""
    micro_batch: int | None
    """Samples in one pass: what was asked, or less where memory was short."""
    seconds: float = 0.0
    failures: dict[int, str] = field(default_factory=dict)
    """Position -> why no example could be crafted."""
    repeated: int = 0
    """Forward passes of runs that a `SampleError` ended, less those of the samples that had it."""


def goal_of(attack: AttackSpec, batch: Batch, seed: int) -> Goal:
    """Return the goal that an attack pursues on a batch: the same wherever it is asked."""
    return make_goal(attack.goal, batch.labels, batch.classes, attack.target, _randomness(attack, batch, seed))


def craft(
    model: Model, batch: Batch, attack: AttackSpec, seed: int, *, access: Access, micro_batch: int | None = None
) -> Crafted:
    """Run an attack on a batch.

    Samples that meet the goal already are left alone, unless the examples are to transfer. A sample on which the victim raises,
    or returns NaN, gets an entry in `failures`; the others are attacked all the same.

    Args:
        model: pixels -> logits; what the examples are crafted on.
        batch: the samples.
        attack: what to run.
        seed: the job's.
        access: the most that the attack may ask of the model.
        micro_batch: samples in one pass at most; halved while memory does not suffice.
    """
    started = time.perf_counter()
    n = len(batch.ids)
    clean = run_model(model, batch.x, batch.classes, micro_batch)
    result = Crafted(batch.x.clone(), [0] * n, [0] * n, [False] * n, micro_batch)
    result.failures = {i: why for i in range(n) if (why := clean.why(i))}
    pending = [[i for i in range(n) if i not in result.failures]]
    while pending:
        where = pending.pop()
        if not where:
            continue
        try:
            _attack(model, batch.take(where), where, clean.logits[where], attack, seed, access, result)
        except torch.OutOfMemoryError:
            size = min(result.micro_batch or len(where), len(where))
            if size == 1:
                result.failures.update(dict.fromkeys(where, "out of memory with one sample in a pass"))
            else:
                result.micro_batch = size // 2
                pending.append(where)
        except SampleError as error:
            bad = {where[position] for position in error.positions}
            result.failures.update(dict.fromkeys(bad, str(error)))
            pending.append([i for i in where if i not in bad])
        except Exception:
            if len(where) == 1:
                result.failures[where[0]] = traceback.format_exc(limit=TRACEBACK_FRAMES)
            else:
                pending += [where[len(where) // 2 :], where[: len(where) // 2]]
    result.seconds = time.perf_counter() - started
    return result


def score(
    model: Model,
    batch: Batch,
    attack: AttackSpec,
    seed: int,
    x_adv: Tensor,
    failures: Mapping[int, str],
    clean: Outputs,
    micro_batch: int | None = None,
) -> list[Verdict]:
    """Judge the examples x_adv [N, C, H, W] of a batch on a model.

    Args:
        model: pixels -> logits; the victim with its defense.
        batch: the samples.
        attack: what made the examples.
        seed: the job's.
        x_adv: the examples, as crafted.
        failures: position -> why no example could be crafted.
        clean: the model's outputs on the clean inputs.
        micro_batch: samples in one pass at most.
    """
    constraint = Constraint(attack.norm, attack.eps)
    goal, closest = goal_of(attack, batch, seed), attack.component.minimal_norm
    return judge(model, goal, batch.x, x_adv, constraint, clean, failures, micro_batch, closest=closest)


def _attack(
    model: Model,
    batch: Batch,
    where: list[int],
    clean: Tensor,
    attack: AttackSpec,
    seed: int,
    access: Access,
    result: Crafted,
) -> None:
    """Attack the samples at the positions `where` and write what came of them into `result`."""
    goal = goal_of(attack, batch, seed)
    transfers = attack.access == "transfer"
    oracle = Oracle(
        model,
        len(where),
        access=access,
        budget=attack.budget,
        micro_batch=result.micro_batch,
        stop_early=not transfers,
        skip=goal.pointless if transfers else goal.pointless | goal.success(clean),
        device=batch.x.device,
    )
    run = resolve(attack.component.build)
    constraint = Constraint(attack.norm, attack.eps)
    try:
        x_adv = run(oracle, goal, batch.x, constraint, _randomness(attack, batch, seed), **dict(attack.params)).detach()
    except SampleError as error:
        result.repeated += int(oracle.forwards.sum())
        for position in set(error.positions):
            result.forwards[where[position]] = int(oracle.forwards[position])
            result.backwards[where[position]] = int(oracle.backwards[position])
            result.repeated -= int(oracle.forwards[position])
        raise
    if x_adv.shape != batch.x.shape:
        raise ValueError(f"the attack returned {list(x_adv.shape)} for inputs {list(batch.x.shape)}")
    for position, i in enumerate(where):
        result.x_adv[i] = x_adv[position]
        result.forwards[i] = int(oracle.forwards[position])
        result.backwards[i] = int(oracle.backwards[position])
        result.claimed[i] = bool(oracle.broken[position])


def _randomness(attack: AttackSpec, batch: Batch, seed: int) -> Randomness:
    return Randomness(seed, attack.component.name, batch.ids)
