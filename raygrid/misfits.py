"""Why a combination of data, victim, defense and attack makes no sense, in words that name the fix. Pure, like grid.py."""

from collections.abc import Iterator, Sequence

from raygrid.component import ACCESS_ORDER, Params, Stage, resolve
from raygrid.job import check_budget, check_defended, check_eps, check_rivals
from raygrid.metrics.verification import check_far
from raygrid.registry import find, label
from raygrid.spec import (
    GOALS,
    OF_SOUND,
    AttackSpec,
    DefenseSpec,
    GridSpec,
    JudgeSpec,
)
from raygrid.units import Dataset, Model
from raygrid.victims.info import VictimInfo

LEVELS = (1 / 255, 1 / 32768)
"""The least eps at which a file can differ from the clean one: 8 bits of a picture, 16 of sound."""
ALMOST = 0.999
"""What rounding may take from an eps."""


def unfitted(grid: GridSpec, data: Dataset) -> Iterator[str]:
    """Name what has to be fitted, where no samples are set apart for that."""
    victims = (*grid.victims, *(attack.source for attack in grid.attacks if attack.source is not None))
    for victim in dict.fromkeys(victim.id for victim in victims if victim.params.needs_fit() and data.train is None):
        yield (
            f'grids.{grid.name}: victim "{victim}" is trained on people of its own: say how many of their photos to set apart, '
            'such as "splits: {train: 120}"'
        )
    if data.fit is not None:
        return
    used: tuple[AttackSpec | DefenseSpec, ...] = (*grid.attacks, *grid.defenses)
    for what in used:
        if what.params.needs_fit():
            yield (
                f'grids.{grid.name}: {what.component.kind} "{label(what.component.name, what.params)}" is fitted on samples of its '
                'own: say how many to set apart, such as "splits: {fit: 200}"'
            )


def mistakes_of(grid: GridSpec, data: Dataset, model: Model, source: Model, attack: AttackSpec) -> Iterator[str]:
    """Say what makes a combination impossible, in words that name the fix."""
    where, name = f"grids.{grid.name}", attack.component.name
    for info in (model.info, source.info):
        seen = data.seen or data.shape
        fits = all(want in (None, have) for want, have in zip(info.input_shape, seen, strict=True))
        if not fits:
            yield (
                f'{where}: victim "{info.id}" takes inputs {_shape(info.input_shape)} and {data.name} has {_shape(seen)}; give it '
                "data of its size, in a grid of its own or by the size of `data`"
            )
        yield from (f'{where}: victim "{info.id}" {wrong}' for wrong in _of_victim(data, info))
    yield from (f"{where}: {wrong}" for wrong in _of_measures(grid, data))
    yield from (f"{where}: {wrong}" for wrong in _of_goal(data, grid.judge, attack, model.defense))
    yield from (f"{where}: {wrong}" for wrong in _of_task(grid, data, attack, model))
    if ACCESS_ORDER.index(attack.component.access) > ACCESS_ORDER.index(source.info.access):
        needs = f'{where}: attack "{name}" needs {attack.component.access} access and victim "{source.info.id}"'
        bare = (
            f'gives {source.info.access} at most; exclude the pair ("exclude: [{{victim: {source.info.id}, attack: {name}}}]"), '
            "or attack it by access: transfer"
        )
        hidden = (
            f'behind defense "{source.defense.component.name}" gives {source.info.access} at most; say awareness: none, which '
            "crafts on the bare victim, or access: transfer, or exclude the pair"
        )
        yield f"{needs} {bare if source.defense.is_none else hidden}"
    level = LEVELS[data.sound]
    if grid.judge.stored and attack.norm != "l0" and attack.radius is not None and attack.radius < level * ALMOST:
        yield (
            f'{where}: attack "{name}": eps {attack.radius:g} is less than a level, 1/{1 / level:g}, and judge.stored shows '
            "files that hold whole levels: nothing would change"
        )
    if wrong := check_defended(attack):
        yield f'{where}: attack "{name}" behind defense "{model.defense.component.name}": {wrong}'
    if attack.target is not None and attack.target >= data.classes:
        yield f'{where}: target {attack.target} of attack "{name}" is no class of {data.name}: 0..{data.classes - 1}'
    for wrong in (check_eps(attack, data.shape), check_budget(attack), check_rivals(attack, data.classes)):
        if wrong:
            yield f"{where}: {wrong}"
    if attack.params.only_on() not in (None, data.name):
        yield (
            f'{where}: attack "{label(name, attack.params)}" knows its way about samples of {attack.params.only_on()} only, '
            f"not of {data.name}"
        )
    if data.sound and attack.params.for_pictures():
        return  # said already, and parameters of pictures would only be misread
    if attack.params.only_on_faces() and data.task != "verification":
        yield (
            f'{where}: attack "{label(name, attack.params)}" knows its way about faces only, where they are verified, not about '
            f"samples of {data.name}"
        )
    elif wrong := attack.params.misfit(data.shape):
        yield f'{where}: attack "{label(name, attack.params)}" on {data.name}: {wrong}'


def _of_victim(data: Dataset, info: VictimInfo) -> Iterator[str]:
    """Say what keeps a victim from being asked about the data."""
    if info.task != data.task:
        yield f"does {info.task} and {data.name} is for {data.task}: give each a grid of its own"
    elif info.sample_rate != data.sample_rate:
        yield (
            f"hears {info.sample_rate} samples a second and {data.name} has {data.sample_rate}; say rate: {info.sample_rate} of "
            "the data"
        )
    elif info.task == "classification" and (
        info.classes < data.classes or (data.classes_stated and info.classes != data.classes)
    ):
        yield (
            f"has {info.classes} classes and {data.name} has {data.classes}, so that a label would not mean the same to both; give "
            "it data with its classes, or mend `classes` of either"
        )


def _of_goal(data: Dataset, judge: JudgeSpec, attack: AttackSpec, defense: DefenseSpec) -> Iterator[str]:
    """Say what makes no sense of an attack's goal, of what is said of faces, or of an attack or channel for sound, where there are
    none."""
    name = attack.component.name
    if attack.goal not in GOALS[data.task]:
        goals = ", ".join(GOALS[data.task])
        yield f'attack "{name}": goal {attack.goal} makes no sense on {data.name}, which has the goals {goals}'
    elif data.task != "verification" and (attack.photos != 1 or attack.combine != "mean"):
        yield f'attack "{name}": "photos" and "combine" are for data whose faces are verified, and {data.name} is no such data'
    if data.task != "verification" and judge.far is not None:
        yield f"judge.far: is for data whose faces are verified, and {data.name} is no such data"
    if judge.detector and (data.task != "verification" or data.sound):
        yield f"judge.detector: is for data whose faces are verified, and {data.name} is no such data"
    used = [attack.component, defense.component, *([attack.channel.component] if attack.channel else [])]
    if attack.phrase is not None and attack.goal != "transcribe":
        yield f'attack "{name}": "phrase" is for the goal transcribe, not {attack.goal}'
    for component in used:
        if component.sound != data.sound and (component.sound or component.kind == "channel"):
            kind = "sound" if component.sound else "pictures"
            yield f'{component.kind} "{component.name}" is for {kind}, which {data.name} is not'
    if data.sound and attack.component.task == "transcription" != data.task:
        yield f'attack "{name}" is for speech that is transcribed, and {data.name} is for {data.task}'


def _of_measures(grid: GridSpec, data: Dataset) -> Iterator[str]:
    """Say what can't be measured of the data."""
    for name in grid.perceptual:
        if (name in OF_SOUND) != data.sound:
            yield f"perceptual: {name} is of {'pictures' if data.sound else 'sound'}, which {data.name} is not"


def _of_task(grid: GridSpec, data: Dataset, attack: AttackSpec, model: Model) -> Iterator[str]:
    """Say what makes no sense of what victims do with the data, or of what it is made of."""
    if data.task == "verification":
        yield from _of_faces(data, grid.judge.of(attack).far, attack, model.defense)
    if data.sound:
        yield from _of_sound(data, attack, model.defense)
    if data.task == "transcription":
        yield from _of_speech(data, attack, model)


def _of_sound(data: Dataset, attack: AttackSpec, defense: DefenseSpec) -> Iterator[str]:
    """Say what makes no sense of what is made for pictures, or can't be differentiated, where there is sound."""
    name = attack.component.name
    if attack.component.access == "gradient" and attack.through and attack.through.params.without_slope():
        yield (
            f'attack "{name}" would look for gradients through channel "{attack.through.component.name}", which has none: say '
            "straight_through: true of it, or awareness: none of the attack, which is then judged through it all the same"
        )
    yield from _of_responses(attack)
    for part, params in _parts(attack):
        if params.for_pictures() or not params.hears(attack.norm):
            norm = "" if params.for_pictures() else f" in norm {attack.norm}"
            of = "" if part == name else f' (a stage of "{name}")'
            yield f'attack "{part}"{of} is for pictures{norm}, and {data.name} is sound'
    if defense.params.for_pictures():
        yield f'defense "{label(defense.component.name, defense.params)}" is for pictures, which {data.name} is not'


def _of_responses(attack: AttackSpec) -> Iterator[str]:
    """Say which impulse responses in a person's files are missing, and which can't judge, since the attack knows them."""
    name, own = attack.component.name, attack.params.measured_rooms()
    heard = attack.channel.params.measured_rooms() if attack.channel else {}
    needed = ["judge", *(["train"] if attack.through else [])] if heard else []
    for split in needed:
        if split not in heard:
            whose = "judge" if split == "judge" else f'attack "{name}" looks through'
            yield f'channel "room": its responses have none of split {split}, which {whose}'
    if own and (lacking := [split for split in ("train", "validation") if split not in own]):
        yield f'attack "{name}": its responses have none of split {lacking[0]}, in which it rehearses'
    known = frozenset().union(*(own.get(split, ()) for split in ("train", "validation")))
    if same := len(known & heard.get("judge", frozenset())):
        yield f'attack "{name}" rehearses in {same} of the responses that judge it, which must be new to it'


def _parts(attack: AttackSpec) -> Iterator[tuple[str, Params]]:
    """Yield what an attack is made of, by name: itself, or, of a suite, its stages."""
    if not attack.component.suite:
        yield attack.component.name, attack.params
        return
    stages: Sequence[Stage] = resolve(attack.component.build)(attack.params, attack.norm)
    for stage in stages:
        yield stage.attack, find("attack", stage.attack).params.model_validate(stage.params)


def _of_speech(data: Dataset, attack: AttackSpec, model: Model) -> Iterator[str]:
    """Say what makes no sense of an attack where speech is transcribed."""
    name, defense = attack.component.name, model.defense
    if attack.goal == "garble" and not data.transcripts:
        yield (
            f'attack "{name}": to garble speech, it must be known what is said in every clip, and {data.name} has no transcripts, '
            "or cuts recordings short (`seconds`)"
        )
    if attack.component.suite or attack.stage is not None:
        yield f'attack "{name}" is a suite of attacks on classifiers, and {data.name} is transcribed'
    if defense.params.reads_classes():
        yield f'defense "{label(defense.component.name, defense.params)}" goes by scores of classes, and recognizers write tokens'
    elif defense.params.averages_answers() and model.info.access == "decision":
        yield (
            f'defense "{label(defense.component.name, defense.params)}" takes the mean of several answers, and victim '
            f'"{model.info.id}" writes text, of which there is none: say votes: 1, or exclude the pair'
        )


def _of_faces(data: Dataset, far: float | None, attack: AttackSpec, defense: DefenseSpec) -> Iterator[str]:
    """Say what makes no sense of an attack where faces are verified."""
    name = attack.component.name
    if attack.component.suite or attack.stage is not None:
        yield (
            f'attack "{name}" is a suite, whose attacks go on with what the judge left: on {data.name} that would tell them of the '
            "photos that nobody but the judge has; give one attack of it"
        )
    if attack.photos > data.known:
        yield (
            f'attack "{name}": an attacker may have {data.known} photos of a person of {data.name}, not {attack.photos}; '
            "say more as its `known`"
        )
    if attack.params.needs_fit():
        yield f'attack "{name}" is fitted on labeled samples, and there are none where faces are verified'
    if defense.params.reads_classes():
        yield (
            f'defense "{label(defense.component.name, defense.params)}" goes by scores of classes, and victims of {data.name} give '
            "embeddings: of votes take the mean (vote: mean)"
        )
    if attack.params.only_on_faces() and data.seen is not None:
        yield f'attack "{label(name, attack.params)}" knows its way about frames; say perturb: frame of {data.name}'
    if data.only_goal not in (None, attack.goal):
        attacked = "genuine" if attack.goal == "dodge" else "impostor"
        yield (
            f'attack "{name}": goal {attack.goal} makes no sense on the pairs of {data.name} that are attacked; say attacked: '
            f"{attacked} of the data, or goal: {data.only_goal}"
        )
    if far is not None and (wrong := check_far(far, data.calibration, data.calibration_pairs)):
        yield f"judge.far: {wrong}"


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("any" if size is None else str(size) for size in shape)
