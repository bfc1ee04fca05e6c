"""What a person may not have meant by a job that makes sense, and is told before it runs. Imports no torch."""

from raygrid.attacks.catalog_audio import OverTheAir
from raygrid.spec import AttackSpec, Job


def remarks(job: Job) -> list[str]:
    """Return a line for each."""
    found = [
        f'grids.{grid.name}: attack "{attack.component.name}" rehearses in rooms or noise, and without a channel its examples are '
        "judged as files that are heard as they are: say channel: room, or rooms: 0 and noise: false for a digital attack"
        for grid in job.grids
        for attack in grid.attacks
        if attack.channel is None and _rehearses(attack)
    ]
    return list(dict.fromkeys(found))


def _rehearses(attack: AttackSpec) -> bool:
    return isinstance(attack.params, OverTheAir) and (attack.params.rooms > 0 or attack.params.noise)
