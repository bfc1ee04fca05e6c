"""A job becomes units of work: every combination of the grid, the content key of each, and which examples each score unit needs.

Pure: datasets and victims come in as what they are (shards with fingerprints, VictimInfo), and neither torch nor ray is needed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple

from raygrid.component import ACCESS_ORDER, Params, Task
from raygrid.enrollment import ENROLLMENT, Enrollment
from raygrid.errors import UsageError
from raygrid.job import check_defended, check_eps
from raygrid.keys import content_key
from raygrid.metrics.verification import check_far
from raygrid.registry import find, label
from raygrid.series import in_turn, ladders
from raygrid.spec import (
    GOALS,
    ONCE,
    AttackSpec,
    DefenseSpec,
    GridSpec,
    Job,
    JudgeSpec,
    Judging,
    Perceptual,
    VictimSpec,
)
from raygrid.victims.info import VictimInfo

CRAFT_VERSION = 3
"""Bumped when oracle, goals, constraints or randomness change what an unchanged attack crafts."""
JUDGE_VERSION = 1
"""Bumped when the judge's verdict on unchanged examples changes."""
FIT_VERSION = 1
"""Bumped when what an unchanged component fits changes, other than by the above."""
MEASURES = {"lpips": 1, "layers": 1}
"""Versions of what a grid may ask for; bumped when its value on unchanged examples changes."""
PRECISION = "float32"
LEVELS = (1 / 255, 1 / 32768)
"""The least eps at which a file can differ from the clean one: 8 bits of a picture, 16 of sound."""
ALMOST = 0.999
"""What rounding may take from an eps."""

Json = dict[str, Any]


class ShardRef(NamedTuple):
    """A shard as the plan sees it: its fingerprint and its size, without its samples."""

    key: str
    size: int


class Model(NamedTuple):
    """A victim behind a defense: what examples are crafted on and judged by."""

    victim: VictimSpec
    info: VictimInfo
    defense: DefenseSpec
    digest: str
    fit: "Fit | None" = None
    """What the defense has to find out first, on the bare victim."""


class Fit(NamedTuple):
    """Find out what later units share, on samples that are set apart."""

    key: str
    model: Model
    what: AttackSpec | DefenseSpec | Enrollment
    seed: int
    shard: ShardRef
    classes: int


class Cell(NamedTuple):
    """What a result table shows as one line."""

    id: str
    grid: str
    data: str
    classes: int
    """Number of classes of the dataset."""
    model: Model
    attack: AttackSpec
    seed: int
    judging: Judging = ONCE
    perceptual: tuple[Perceptual, ...] = ()
    """What is measured of its examples besides."""
    layers: bool = False
    """Whether their distance to the original is measured at every layer."""


class Craft(NamedTuple):
    """Make the examples of one shard on one model."""

    key: str
    model: Model
    attack: AttackSpec
    seed: int
    shard: ShardRef
    classes: int
    parent: "Score | None" = None
    """The unit whose successes it inherits: the stage before it, or the next smaller eps. Judged on the same model."""
    judging: Judging = ONCE
    """What decides that a sample needs no attack."""
    fit: Fit | None = None
    """What the attack has to find out first."""
    enrolled: Fit | None = None
    """The clean photos as the model knows them, where faces are verified."""


class Score(NamedTuple):
    """Judge the examples of one craft unit on one model."""

    key: str
    craft: Craft
    model: Model
    cell: Cell
    enrolled: Fit | None = None
    """The clean photos as the model knows them, where faces are verified."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as the plan sees it."""

    name: str
    label: str
    """The name with the parameters that differ from their defaults; tells apart datasets of one grid."""
    classes: int
    classes_stated: bool
    """Whether victims must have just as many classes; else that many at least."""
    shape: tuple[int, int, int]
    shards: tuple[ShardRef, ...]
    fit: ShardRef | None = None
    """The samples that are set apart for fitting."""
    task: Task = "classification"
    """What victims do with it."""
    sample_rate: int = 0
    """Samples a second of sound; 0: it is none."""
    transcripts: bool = False
    """Whether what is said is known."""
    gallery: ShardRef | None = None
    """All photos, where faces are verified."""
    calibration: int = 0
    """How many people the thresholds are set on."""
    known: int = 0
    """Photos of each person that an attacker may have."""


@dataclass(frozen=True)
class Plan:
    """All units of a job. A score unit that two grids share stands in it twice, with the same key."""

    crafts: dict[str, Craft]
    scores: list[Score]
    cells: dict[str, Cell]

    @property
    def fits(self) -> dict[str, Fit]:
        """What is to be fitted first, by key."""
        found = [fit for craft in self.crafts.values() for fit in (craft.fit, craft.model.fit, craft.enrolled)]
        found += [fit for score in self.scores for fit in (score.model.fit, score.enrolled)]
        return {fit.key: fit for fit in found if fit is not None}


def expand(
    job: Job,
    datasets: Mapping[str, Dataset],
    infos: Mapping[str, VictimInfo],
    excluded: Callable[[GridSpec, VictimSpec, DefenseSpec, AttackSpec], bool],
) -> Plan:
    """Cross victims x defenses x attacks x seeds x shards of every grid.

    White-box examples are crafted on the very model that judges them, or, by attackers that don't know of its defense, on the bare
    victim. Under `access: transfer` they are crafted once on the bare source and judged on every model of the grid. Stages of
    suites and rungs of eps ladders follow one another, see series.py.

    Args:
        job: the job.
        datasets: DataSpec.key -> the dataset.
        infos: VictimSpec.key -> what the victim is.
        excluded: whether the grid's `exclude` drops a combination.

    Raises:
        UsageError: combinations that make no sense, all at once.
    """
    plan = Plan({}, [], {})
    mistakes: dict[str, None] = {}
    for grid in job.grids:
        for spec in grid.data:
            data = datasets[spec.key]
            mistakes.update(dict.fromkeys(_unfitted(grid, data)))
            for model in (_model(v, infos[v.key], d, data) for v in grid.victims for d in grid.defenses):
                attacks = (a for a in grid.attacks if not excluded(grid, model.victim, model.defense, a))
                for rungs in ladders(attack.facing(model.defense, filed=grid.judge.stored) for attack in attacks):
                    for rung in rungs:
                        mistakes.update(
                            dict.fromkeys(_mistakes(grid, data, model, _source(rung, model, infos, data), rung))
                        )
                    for seed in job.seeds:
                        cells = [_cell(grid, data, model, attack, seed) for attack in in_turn(rungs)]
                        _add(plan, cells, _source(rungs[0], model, infos, data), data)
    if mistakes:
        raise UsageError(*mistakes)
    return plan


def _add(plan: Plan, cells: Sequence[Cell], source: Model, data: Dataset) -> None:
    """Add the units of cells of one series."""
    parents: dict[str, Score] = {}
    verdicts: dict[str, str] = {}
    """Shard -> key of what the parent judged: what it measured besides changes no example made after it."""
    for cell in cells:
        if cell.id in plan.cells:
            continue  # an axis names the same value twice
        plan.cells[cell.id] = cell
        attack_digest = _attack_digest(cell.attack.as_crafted)
        reach = [cell.attack.eps] if cell.attack.serves_every_eps else []
        far = cell.judging.far
        judging = (
            replace(ONCE, far=far) if cell.attack.to_the_end else replace(cell.judging, stored=False)
        )  # all are attacked
        knows, knows_here = (_enrolled(model, data) for model in (source, cell.model))
        fit = _fit_of(cell.attack.as_crafted, source, data, cell.seed)
        for shard in data.shards:
            parent = parents.get(shard.key) if len(cells) > 1 else None
            made_by = [
                source.digest,
                attack_digest,
                cell.seed,
                cell.classes,
                shard.key,
                *_judging(judging),
                *_fit_key(fit),
                *_fit_key(knows),
            ]
            craft_key = content_key(
                ["craft", CRAFT_VERSION, PRECISION, *made_by, *([verdicts[shard.key]] if parent is not None else [])]
            )
            craft = plan.crafts.get(craft_key)
            if craft is None:
                attack = cell.attack.as_crafted
                craft = Craft(craft_key, source, attack, cell.seed, shard, cell.classes, parent, judging, fit, knows)
                plan.crafts[craft_key] = craft
            judged_by = [cell.model.digest, cell.data, *reach, *_channel(cell.attack), *_judging(cell.judging)]
            judged_by += _fit_key(knows_here)
            verdicts[shard.key] = content_key(["score", JUDGE_VERSION, PRECISION, craft_key, *judged_by])
            key = _with_measures(verdicts[shard.key], cell)
            plan.scores.append(Score(key, craft, cell.model, cell, knows_here))
            parents[shard.key] = plan.scores[-1]


def _with_measures(verdict: str, cell: Cell) -> str:
    """Return the key of a score unit, given that of its verdicts."""
    measures = {name: MEASURES[name] for name in (*cell.perceptual, *["layers"] * cell.layers)}
    return content_key([verdict, measures]) if measures else verdict


def _model(victim: VictimSpec, info: VictimInfo, defense: DefenseSpec, data: Dataset) -> Model:
    fit = None if defense.is_none else _fit_of(defense, _bare(victim, info, data), data)
    info = replace(info, access=defense.params.leaves(info.access))
    digest = content_key(
        {
            "victim": [victim.component.name, victim.component.version, _values(victim.params), info.facts()],
            "defense": [*_defense(defense), *_fit_key(fit)],
        }
    )
    return Model(victim, info, defense, digest, fit)


def _bare(victim: VictimSpec, info: VictimInfo, data: Dataset) -> Model:
    none = find("defense", "none")
    return _model(victim, info, DefenseSpec(none, none.params()), data)


def _defense(defense: DefenseSpec) -> list[Any]:
    return [defense.component.name, defense.component.version, _values(defense.params)]


def _fit_of(what: AttackSpec | DefenseSpec, model: Model, data: Dataset, seed: int = 0) -> Fit | None:
    """Return what an attack, or a defense whatever the seed, has to find out first; None where there is nothing, or no data."""
    if not what.params.needs_fit() or data.fit is None:
        return None
    if isinstance(what, AttackSpec):
        what = replace(what, elsewhere=False)  # who judges it later changes nothing of what is learned
    digest = _attack_digest(what) if isinstance(what, AttackSpec) else content_key(_defense(what))
    key = content_key(
        ["fit", FIT_VERSION, CRAFT_VERSION, PRECISION, model.digest, digest, seed, data.classes, data.fit.key]
    )
    return Fit(key, model, what, seed, data.fit, data.classes)


def _enrolled(model: Model, data: Dataset) -> Fit | None:
    """Return what finds out how a model knows the clean photos; None where it compares none."""
    if data.gallery is None:
        return None
    key = content_key(["enrollment", FIT_VERSION, PRECISION, ENROLLMENT.version, model.digest, data.gallery.key])
    return Fit(key, model, Enrollment(), 0, data.gallery, data.classes)


def _fit_key(fit: Fit | None) -> list[Json]:
    return [] if fit is None else [{"fit": fit.key}]


def _attack_digest(attack: AttackSpec) -> str:
    return content_key(
        {
            "attack": [attack.component.name, attack.component.version, _values(attack.params)],
            "constraint": [attack.norm, attack.eps if isfinite(attack.eps) else None],
            "goal": [attack.goal, attack.target],
            "access": attack.access,
            "budget": [attack.budget.queries, attack.budget.gradients],
            "eot": attack.looks,
            "when": attack.stage.when if attack.stage else "",
            **({"channel": _channel(attack)[0] if attack.through else "unseen"} if attack.channel else {}),
            **({"judged": "elsewhere"} if attack.elsewhere else {}),
            **({"filed": True} if attack.filed else {}),
            **({"phrase": attack.phrase} if attack.transcribes else {}),
            **({"photos": attack.photos, "combine": attack.combine} if attack.verifies else {}),
        }
    )


def _channel(attack: AttackSpec) -> list[Json]:
    """Return what determines a channel; nothing where there is none, so that keys stay what they were without."""
    if attack.channel is None:
        return []
    component, params = attack.channel.component, attack.channel.params
    return [{"channel": [component.name, component.version, _values(params)]}]


def _judging(judging: Judging) -> list[Json]:
    if judging == ONCE:
        return []
    more = {**({"stored": True} if judging.stored else {}), **({"far": judging.far} if judging.far is not None else {})}
    return [{"draws": judging.draws, "broken_at": judging.broken_at, **more}]


def _source(attack: AttackSpec, model: Model, infos: Mapping[str, VictimInfo], data: Dataset) -> Model:
    if attack.source is None and not attack.elsewhere:
        return model
    source = attack.source or model.victim
    return _bare(source, infos[source.key], data)


def _unfitted(grid: GridSpec, data: Dataset) -> Iterator[str]:
    """Name what has to be fitted, where no samples are set apart for that."""
    if data.fit is not None:
        return
    used: tuple[AttackSpec | DefenseSpec, ...] = (*grid.attacks, *grid.defenses)
    for what in used:
        if what.params.needs_fit():
            yield (
                f'grids.{grid.name}: {what.component.kind} "{label(what.component.name, what.params)}" is fitted on samples of its '
                'own: say how many to set apart, such as "splits: {fit: 200}"'
            )


def _mistakes(grid: GridSpec, data: Dataset, model: Model, source: Model, attack: AttackSpec) -> Iterator[str]:
    """Say what makes a combination impossible, in words that name the fix."""
    where, name = f"grids.{grid.name}", attack.component.name
    for info in (model.info, source.info):
        fits = all(want in (None, have) for want, have in zip(info.input_shape, data.shape, strict=True))
        if not fits:
            yield f'{where}: victim "{info.id}" takes inputs {_shape(info.input_shape)} and {data.name} has {_shape(data.shape)}'
        yield from (f'{where}: victim "{info.id}" {wrong}' for wrong in _of_victim(data, info))
    yield from (f"{where}: {wrong}" for wrong in _of_goal(data, attack))
    if data.task == "verification":
        yield from (f"{where}: {wrong}" for wrong in _of_faces(data, grid.judge.of(attack).far, attack, model.defense))
    if data.task == "transcription":
        yield from (f"{where}: {wrong}" for wrong in _of_speech(data, attack, model.defense))
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
    level = LEVELS[data.task == "transcription"]
    if grid.judge.stored and attack.norm != "l0" and attack.radius is not None and attack.radius < level * ALMOST:
        yield (
            f'{where}: attack "{name}": eps {attack.radius:g} is less than a level, 1/{1 / level:g}, and judge.stored shows '
            "files that hold whole levels: nothing would change"
        )
    if wrong := check_defended(attack):
        yield f'{where}: attack "{name}" behind defense "{model.defense.component.name}": {wrong}'
    if attack.target is not None and attack.target >= data.classes:
        yield f'{where}: target {attack.target} of attack "{name}" is no class of {data.name}: 0..{data.classes - 1}'
    if wrong := check_eps(attack, data.shape):
        yield f"{where}: {wrong}"
    if attack.params.only_on() not in (None, data.name):
        yield (
            f'{where}: attack "{label(name, attack.params)}" knows its way about samples of {attack.params.only_on()} only, '
            f"not of {data.name}"
        )
    if wrong := attack.params.misfit(data.shape):
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
            f"has {info.classes} classes and {data.name} has {data.classes}, so that a label would not mean the same to both"
        )


def _of_goal(data: Dataset, attack: AttackSpec) -> Iterator[str]:
    """Say what makes no sense of an attack's goal, or of an attack or channel for sound where there is none."""
    name = attack.component.name
    if attack.goal not in GOALS[data.task]:
        goals = ", ".join(GOALS[data.task])
        yield f'attack "{name}": goal {attack.goal} makes no sense on {data.name}, which has the goals {goals}'
    used = [attack.component, *([attack.channel.component] if attack.channel else [])]
    for component in used:
        sound = component.task == "transcription"
        if sound != (data.task == "transcription") and (sound or component.kind == "channel"):
            yield f'{component.kind} "{component.name}" is for {"sound" if sound else "pictures"}, which {data.name} is not'


def _of_speech(data: Dataset, attack: AttackSpec, defense: DefenseSpec) -> Iterator[str]:
    """Say what makes no sense of an attack where speech is transcribed."""
    name = attack.component.name
    if attack.goal == "garble" and not data.transcripts:
        yield f'attack "{name}": to garble speech, it must be known what is said, and {data.name} has no transcripts'
    if attack.params.needs_fit():
        yield f'attack "{name}" is fitted on labeled samples, and there are none where speech is transcribed'
    if defense.params.reads_classes():
        yield f'defense "{label(defense.component.name, defense.params)}" goes by scores of classes, and recognizers write tokens'


def _of_faces(data: Dataset, far: float | None, attack: AttackSpec, defense: DefenseSpec) -> Iterator[str]:
    """Say what makes no sense of an attack where faces are verified."""
    name = attack.component.name
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
    if far is not None and (wrong := check_far(far, data.calibration)):
        yield f"judge.far: {wrong}"


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("any" if size is None else str(size) for size in shape)


def _values(params: Params) -> Json:
    values: Json = params.model_dump(mode="json")
    return values


def _cell(grid: GridSpec, data: Dataset, model: Model, attack: AttackSpec, seed: int) -> Cell:
    random = model.defense.params.draws_at_random()
    sound = data.task == "transcription"
    judging, usual = grid.judge.of(attack, random=random), JudgeSpec(stored=sound).of(attack, random=random)
    parts = {
        "grid": grid.name,
        "data": data.label,
        "victim": model.victim.id,
        "defense": label(model.defense.component.name, model.defense.params),
        "attack": label(attack.component.name, attack.params),
        "norm": attack.norm,
        "eps": format_eps(attack.eps) if attack.norm else "",
        "goal": attack.goal if attack.target is None else f"{attack.goal}({attack.target})",
        "phrase": f'"{attack.phrase}"' if attack.phrase else "",
        "photos": f"{attack.photos}{'' if attack.combine == 'mean' else f',{attack.combine}'}"
        if attack.verifies
        else "",
        "far": f"{judging.far:g}" if judging.far is not None else "",
        "access": attack.access if attack.source is None else f"{attack.access}({attack.source.id})",
        "budget": _budget_label(attack),
        "eot": "" if attack.looks == 1 else str(attack.looks),
        "channel": channel_label(attack) or "",
        "awareness": attack.averages
        if attack.channel or not model.defense.is_none or attack.params.averages_over()
        else "",
        "judge": ""
        if judging == usual
        else f"{judging.broken_at}/{judging.draws}{',stored' if judging.stored else ''}",
        "suite": attack.stage.suite if attack.stage else "",
        "stage": str(attack.stage.number) if attack.stage else "",
        "seed": str(seed),
    }
    identity = " ".join(f"{name}={value}" for name, value in parts.items() if value)
    measured = grid.perceptual, grid.judge.layers
    return Cell(identity, grid.name, data.label, data.classes, model, attack, seed, judging, *measured)


def channel_label(attack: AttackSpec) -> str | None:
    """Name an attack's channel with the parameters that differ from their defaults; None where there is none."""
    return label(attack.channel.component.name, attack.channel.params) if attack.channel else None


def _budget_label(attack: AttackSpec) -> str:
    limits = (("queries", attack.budget.queries), ("gradients", attack.budget.gradients))
    return ",".join(f"{name}<={limit}" for name, limit in limits if limit is not None)


def format_eps(eps: float) -> str:
    """Write an eps as people do: 0.3 where a short decimal says it, 8/255 where it is a multiple of 1/255."""
    short = f"{eps:.4g}"
    if float(short) == eps:
        return short
    levels = round(eps * 255)
    return f"{levels}/255" if levels / 255 == eps else repr(eps)
