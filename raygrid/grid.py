"""A job becomes units of work: every combination of the grid, the content key of each, and which examples each score unit needs.

Pure: datasets and victims come in as what they are (shards with fingerprints, VictimInfo), and neither torch nor ray is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from math import isfinite
from typing import Any

from raygrid.component import Params
from raygrid.enrollment import ENROLLMENT, Enrollment
from raygrid.errors import UsageError
from raygrid.keys import content_key
from raygrid.misfits import mistakes_of, unfitted
from raygrid.registry import find, label
from raygrid.series import in_turn, ladders
from raygrid.spec import (
    ONCE,
    AttackSpec,
    DefenseSpec,
    GridSpec,
    Job,
    JudgeSpec,
    Judging,
    VictimSpec,
)
from raygrid.units import Cell, Craft, Dataset, Fit, Model, Plan, Score
from raygrid.victims.info import VictimInfo

CRAFT_VERSION = 3
"""Bumped when oracle, goals, constraints or randomness change what an unchanged attack crafts."""
JUDGE_VERSION = 3
"""Bumped when the judge's verdict on unchanged examples changes."""
MIXED_VERSION = 2
"""Bumped when what an attack crafts in mixed precision changes, and in float32 does not."""
FIT_VERSION = 1
"""Bumped when what an unchanged component fits changes, other than by the above."""
MEASURES = {"lpips": 1, "stoi": 1, "pesq": 1, "layers": 1, "detector": 1}
"""Versions of what a grid may ask for; bumped when its value on unchanged examples changes."""
PRECISION = "float32"
Json = dict[str, Any]


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
        cells_before = len(plan.cells)
        for spec in grid.data:
            data = datasets[spec.key]
            mistakes.update(dict.fromkeys(unfitted(grid, data)))
            for model in (_model(v, infos[v.key], d, data) for v in grid.victims for d in grid.defenses):
                attacks = (a for a in grid.attacks if not excluded(grid, model.victim, model.defense, a))
                for rungs in ladders(attack.facing(model.defense, filed=grid.judge.stored) for attack in attacks):
                    for rung in rungs:
                        mistakes.update(
                            dict.fromkeys(mistakes_of(grid, data, model, _source(rung, model, infos, data), rung))
                        )
                    for seed in job.seeds:
                        cells = [_cell(grid, data, model, attack, seed) for attack in in_turn(rungs)]
                        whole = replace(rungs[0], surrogate_dropout=0.0)
                        source, enrolls = (_source(attack, model, infos, data) for attack in (rungs[0], whole))
                        _add(plan, cells, source, enrolls, data)
        if len(plan.cells) == cells_before:
            mistakes[
                f"grids.{grid.name}.exclude: drops every combination, so that there is nothing to run; drop fewer"
            ] = None
    if mistakes:
        raise UsageError(*mistakes)
    return plan


def _add(plan: Plan, cells: Sequence[Cell], source: Model, enrolls: Model, data: Dataset) -> None:
    """Add the units of cells of one series.

    Args:
        plan: takes them.
        cells: of the series.
        source: what their examples are crafted on.
        enrolls: what the attacker's photos are enrolled in, where faces are verified: the source, nothing left out of it.
        data: what is attacked.
    """
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
        knows, knows_here = (_enrolled(model, data) for model in (enrolls, cell.model))
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
    asked = (*cell.perceptual, *["layers"] * cell.layers, *["detector"] * cell.detector)
    measures = {name: MEASURES[name] for name in asked}
    return content_key([verdict, measures]) if measures else verdict


def _model(victim: VictimSpec, info: VictimInfo, defense: DefenseSpec, data: Dataset) -> Model:
    fit = None if defense.is_none else _fit_of(defense, _bare(victim, info, data), data)
    trained = _trained(victim, info, data)
    info = replace(info, access=defense.params.leaves(info.access))
    digest = content_key(
        {
            "victim": [
                victim.component.name,
                victim.component.version,
                victim.params.keyed(),
                info.facts(),
                *_fit_key(trained),
            ],
            "defense": [*_defense(defense), *_fit_key(fit)],
        }
    )
    return Model(victim, info, defense, digest, fit, trained)


def _trained(victim: VictimSpec, info: VictimInfo, data: Dataset) -> Fit | None:
    """Return what trains a victim; None where it has its weights already, or there is nothing to train it on."""
    if not victim.params.needs_fit() or data.train is None:
        return None
    none = find("defense", "none")
    facts = [victim.component.name, victim.component.version, victim.params.keyed(), info.facts()]
    untrained = Model(victim, info, DefenseSpec(none, none.params()), content_key(["untrained", *facts]))
    key = content_key(["fit", FIT_VERSION, PRECISION, untrained.digest, data.train.key])
    return Fit(key, untrained, victim, 0, data.train, data.classes)


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
            "attack": [attack.component.name, attack.component.version, attack.params.keyed()],
            "constraint": [attack.norm, attack.eps if isfinite(attack.eps) else None],
            "goal": [attack.goal, attack.target],
            "access": attack.component.access if _crafted_alike(attack) else attack.access,
            "budget": [attack.budget.queries, attack.budget.gradients],
            "eot": attack.looks,
            "when": attack.stage.when if attack.stage else "",
            **({"channel": _channel(attack)[0] if attack.through else "unseen"} if attack.channel else {}),
            **({"judged": "elsewhere"} if attack.elsewhere else {}),
            **({"filed": True} if attack.filed else {}),
            **({"precision": [attack.precision, MIXED_VERSION]} if attack.precision != "float32" else {}),
            **({"phrase": attack.phrase} if attack.transcribes else {}),
            **({"photos": attack.photos, "combine": attack.combine} if attack.verifies else {}),
        }
    )


def _crafted_alike(attack: AttackSpec) -> bool:
    """Whether an attack to be judged on other recognizers makes the very examples that it makes for its source: one that goes on to
    the end in either case, as all do where files are judged."""
    if attack.access != "transfer" or not attack.transcribes:
        return False
    return replace(attack, access=attack.component.access, source=None).to_the_end


def _channel(attack: AttackSpec) -> list[Json]:
    """Return what determines a channel; nothing where there is none, so that keys stay what they were without."""
    if attack.channel is None:
        return []
    component, params = attack.channel.component, attack.channel.params
    others = {name: version(name) for name in params.computed_by()}
    return [{"channel": [component.name, component.version, params.keyed(), *([others] if others else [])]}]


def _judging(judging: Judging) -> list[Json]:
    if judging == ONCE:
        return []
    more = {**({"stored": True} if judging.stored else {}), **({"far": judging.far} if judging.far is not None else {})}
    return [{"draws": judging.draws, "broken_at": judging.broken_at, **more}]


def _source(attack: AttackSpec, model: Model, infos: Mapping[str, VictimInfo], data: Dataset) -> Model:
    if attack.source is None and not attack.elsewhere:
        return model
    source = attack.source or model.victim
    return _model(source, infos[source.key], _thinned(attack.surrogate_dropout), data)


def _thinned(share: float) -> DefenseSpec:
    """Return what sets this share of the values behind each convolution to 0."""
    component = find("defense", "noise" if share else "none")
    words = {"site": "convolutions", "kind": "dropout", "sigma": share} if share else {}
    return DefenseSpec(component, component.params.model_validate(words))


def _values(params: Params) -> Json:
    values: Json = params.model_dump(mode="json")
    return values


def _cell(grid: GridSpec, data: Dataset, model: Model, attack: AttackSpec, seed: int) -> Cell:
    random = model.defense.params.draws_at_random()
    usually = JudgeSpec(stored=data.sound, far=grid.judge.far)
    judging, usual = grid.judge.of(attack, random=random), usually.of(attack, random=random)
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
        "access": attack.access if attack.source is None else f"{attack.access}({attack.source_label})",
        "budget": _budget_label(attack),
        "eot": "" if attack.looks == 1 else str(attack.looks),
        "precision": "" if attack.precision == "float32" else attack.precision,
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
    measured = grid.perceptual, grid.judge.layers, grid.judge.detector
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
