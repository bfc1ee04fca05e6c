"""What a person may not have meant by a job that makes sense, and is told before it runs. Imports no torch."""

from raygrid.attacks.catalog_audio import OverTheAir
from raygrid.spec import AttackSpec, Job

FEW_AND_EVEN = (2, 4, 6, 8)
"""Draws of which half is a likely outcome. Of 20 it is seldom."""


def remarks(job: Job) -> list[str]:
    """Return a line for each."""
    found = [
        f'grids.{grid.name}: attack "{attack.component.name}" rehearses in rooms or noise, and without a channel its examples are '
        "judged as files that are heard as they are: say channel: room, or rooms: 0 and noise: false for a digital attack"
        for grid in job.grids
        for attack in grid.attacks
        if attack.channel is None and _rehearses(attack)
    ]
    found += [
        f"grids.{grid.name}.judge: of {grid.judge.draws} draws more than half must be fooled, and a sample that half of them fool "
        f"counts as robust: say an odd number, or broken_at: {grid.judge.draws // 2}"
        for grid in job.grids
        if grid.judge.broken_at is None and grid.judge.draws in FEW_AND_EVEN
    ]
    return list(dict.fromkeys(found))


def _rehearses(attack: AttackSpec) -> bool:
    return isinstance(attack.params, OverTheAir) and (attack.params.rooms > 0 or attack.params.noise)
