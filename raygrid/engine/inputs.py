"""From a job to what can be planned: datasets read, victims identified, units expanded, what is done already."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from raygrid import units
from raygrid.component import resolve
from raygrid.costs import Cost, read_costs
from raygrid.data.alignment import ALIGNED, SIDE
from raygrid.data.check import check
from raygrid.data.dataset import Dataset, Shard, fingerprint, usual_shard
from raygrid.data.listed_pairs import listed, make_pair_trials
from raygrid.data.pairs import make_trials, with_photos
from raygrid.engine.phrases import check_phrases
from raygrid.errors import UsageError
from raygrid.grid import expand
from raygrid.job import excluded
from raygrid.registry import label
from raygrid.spec import DataSpec, Job, VictimSpec
from raygrid.units import Plan, ShardRef
from raygrid.victims.info import VictimInfo, identified


@dataclass(frozen=True)
class Inputs:
    """A job's plan and the data that it runs on."""

    plan: Plan
    datasets: dict[str, Dataset]
    infos: dict[str, VictimInfo]
    shards: dict[str, pa.Table]
    """Shard key -> samples."""
    costs: dict[str, list[Cost]]
    """Grid -> what errors cost there."""


def read_inputs(job: Job) -> Inputs:
    """Read the datasets, identify the victims and expand the grid.

    Raises:
        UsageError: whatever a person got wrong in data, victims or their combination, and where in the job file.
    """
    try:
        return _read(job)
    except UsageError as error:
        raise job.placed(error) from None


def _read(job: Job) -> Inputs:
    infos = {spec.key: _identify(spec) for spec in _victims(job)}
    walks = any(attack.starts_from_photos for grid in job.grids for attack in grid.attacks)
    datasets: dict[str, Dataset] = {}
    shards: dict[str, pa.Table] = {}
    planned: dict[str, units.Dataset] = {}
    said: dict[str, Dataset] = {}
    """What is transcribed, with what is set apart for fitting."""
    for where, spec in {s.key: (f"grids.{g.name}.data", s) for g in job.grids for s in g.data}.values():
        dataset, apart = _load(where, spec)
        datasets[spec.key] = dataset
        cut = list(dataset.shards(spec.shard or usual_shard(dataset.shape)))
        tables = {shard.key: shard.table for shard in cut}
        if walks and dataset.people is not None:
            tables = {key: with_photos(table, apart[1].table) for key, table in tables.items()}
        shards |= tables | {shard.key: shard.table for shard in apart}
        everything = (
            [dataset.table, *(shard.table for shard in apart)] if spec.component.task == "transcription" else []
        )
        said[spec.key] = replace(dataset, table=pa.concat_tables(everything)) if everything else dataset
        planned[spec.key] = units.Dataset(
            name=dataset.name,
            label=label(dataset.name, spec.params),
            classes=dataset.classes,
            classes_stated=dataset.classes_stated,
            shape=dataset.shape,
            shards=tuple(ShardRef(shard.key, shard.size) for shard in cut),
            fit=next((ShardRef(shard.key, shard.size) for shard in apart), None),
            task=spec.component.task,
            sample_rate=dataset.extra.get("sample_rate", 0),
            transcripts="transcript" in dataset.table.column_names
            and not said[spec.key].table["transcript"].null_count,
            gallery=next((ShardRef(shard.key, shard.size) for shard in apart[1:]), None),
            calibration=len(set(apart[0].table.column("cluster").to_pylist())) if dataset.people else 0,
            train=next((ShardRef(shard.key, shard.size) for shard in apart[2:]), None),
            calibration_pairs=_pairs_of_people(apart[1].table) if dataset.pairs else None,
            known=dataset.people[0] if dataset.people else 0,
            seen=(3, SIDE, SIDE) if ALIGNED in dataset.table.column_names else None,
            only_goal=GOAL_OF_PAIRS.get(dataset.extra.get("attacked", "")),
        )
    check_phrases(job, said)
    costs = {
        g.name: read_costs(f"grids.{g.name}.costs", g.costs, data.classes, data.class_names)
        for g in job.grids
        for data in (datasets[spec.key] for spec in g.data)
        if g.costs is not None
    }
    return Inputs(expand(job, planned, infos, excluded), datasets, infos, shards, costs)


GOAL_OF_PAIRS = {"impostor": "impersonate", "genuine": "dodge"}
"""What makes sense of listed pairs of two people, and of pairs of one."""


def _pairs_of_people(gallery: pa.Table) -> int:
    """Return how many pairs of two people a threshold is set on, of listed pairs."""
    people = gallery.column("cluster").to_pylist()
    ends = ({people[i], people[j]} for i, j in listed(gallery, calibration=True) or ())
    return len({frozenset(pair) for pair in ends if len(pair) == 2})


def _victims(job: Job) -> Iterator[VictimSpec]:
    specs = [v for g in job.grids for v in g.victims] + [a.source for g in job.grids for a in g.attacks if a.source]
    yield from {spec.key: spec for spec in specs}.values()


def _load(where: str, spec: DataSpec) -> tuple[Dataset, list[Shard]]:
    """Return the samples that are attacked, and those that are set apart for fitting: one shard, or none; where faces are
    verified, a second one of all photos but those of a third, on which victims are trained, if there is one."""
    whole = spec.fit > 0 or spec.component.task == "verification"
    try:
        dataset: Dataset = resolve(spec.component.build)(spec.params, None if whole else spec.limit)
        check(dataset)
        if spec.stored:
            dataset = dataset.on_file()
        if spec.train and dataset.people is None:
            raise UsageError(f"splits.train: is for data whose faces are verified, and {dataset.name} is no such data")
        if dataset.people is not None:
            (known, judged), (taught, dataset) = dataset.people, _taught(dataset, spec.train)
            pairs = make_pair_trials(dataset, spec.fit) if dataset.pairs else None
            trials, gallery, calibration = pairs or make_trials(dataset, spec.fit, known, judged)
            limited = replace(trials, table=trials.table.slice(0, spec.limit).combine_chunks())
            return limited, [Shard(fingerprint(table), table) for table in (calibration, gallery, *taught)]
        if not spec.fit:
            return dataset, []
        picked, rest = dataset.parted(spec.fit)
        if not rest.table.num_rows:
            raise UsageError(
                f"splits.fit sets apart all of the {dataset.table.num_rows} samples, and leaves none to attack"
            )
    except UsageError as error:
        raise UsageError(*(f"{where}: {message}" for message in error.messages)) from None
    return replace(rest, table=rest.table.slice(0, spec.limit).combine_chunks()), [Shard(fingerprint(picked), picked)]


def _taught(dataset: Dataset, train: int) -> tuple[list[pa.Table], Dataset]:
    """Set apart the people that victims are trained on. Returns their photos, if any, and everybody else, with the listed pairs of
    these."""
    if not train:
        return [], dataset
    taught, rest = dataset.parted_from_the_end(train)
    if rest.table.num_rows == 0:
        raise UsageError(f"splits.train sets apart all people of {dataset.name}, and leaves none to verify")
    left = set(rest.table.column("sample_id").to_pylist())
    pairs = tuple(pair for pair in rest.pairs if pair.a in left and pair.b in left)
    if dataset.pairs and not pairs:
        raise UsageError(f"splits.train leaves none of the pairs of {dataset.name}")
    return [taught], replace(rest, pairs=pairs)


def _identify(spec: VictimSpec) -> VictimInfo:
    return identified(spec.component.name, spec.component.identify, spec.params, spec.id)
