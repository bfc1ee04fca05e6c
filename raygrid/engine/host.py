"""The worker: loads victims on demand, runs units, commits what comes out. Knows neither Ray nor what runs next.

The same class serves a Ray actor, a notebook and the tests, behind the executors of this package.
"""

import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import torch
from torch import Tensor

from raygrid.batch import Batch, channel_of, comparison_of, goal_of, numbers_of, plays_of
from raygrid.batch_sizes import samples_of_a_pass
from raygrid.data.alignment import SIDE
from raygrid.data.face_detection import Nets, load_nets
from raygrid.defenses.noise import AT_ONCE
from raygrid.engine.face_rows import faces_found
from raygrid.engine.fitting import enroll_unit, fit_unit, found, read_fitted, train_unit
from raygrid.engine.models import Cache, bytes_of, load_model
from raygrid.engine.outcome_rows import craft_rows, draw_rows, verdict_row
from raygrid.engine.rows import face_rows, sample_rows, trial_key
from raygrid.engine.shards import Examples, batch_of, read_examples_of, read_record_of
from raygrid.engine.sound_rows import sound_rows
from raygrid.engine.work import Preflight, Report, Task, Unit
from raygrid.enrollment import ANSWERS, Enrollment
from raygrid.errors import UsageError
from raygrid.evidence import CONDITIONS, Record, unknown_in_suite
from raygrid.kernel import Inherited, craft, score
from raygrid.medium import read_back, stored
from raygrid.metrics.lpips import Lpips
from raygrid.metrics.lpips import load as load_lpips
from raygrid.outputs import TRACEBACK_FRAMES, Outputs, run_model, vouched
from raygrid.results.folder import commit_craft, commit_trials
from raygrid.results.store import open_store
from raygrid.spec import VictimSpec
from raygrid.transcription import Hearing
from raygrid.units import Craft, Fit, Model, Score
from raygrid.verification import Enrolled, Match
from raygrid.victims.check import check_victim
from raygrid.victims.instability import layer_distances
from raygrid.victims.victim import Victim

MODEL_BYTES = 4 << 30
"""Weights kept on a host; the least recently used go first. Far below what a GPU holds, so that activations fit beside them."""
SMALL_CACHE = 8
"""Shards, clean outputs and crafted examples kept on a host: what the tasks of a batch share, and little more."""
RECORDS = 64
"""Verdicts of earlier units kept on a host: small, and each unit of a series asks for all before it."""
PREFLIGHT_SAMPLES = 8


class VictimHost:
    """Runs units on one device.

    Args:
        results: the results folder.
        device: a torch device.
        micro_batch: samples in one pass at most; None: a whole shard on a GPU, `samples_of_a_pass` on a CPU.
    """

    def __init__(self, results: str, device: str = "cpu", micro_batch: int | None = None) -> None:
        self.store = open_store(results)
        self.device = torch.device(device)
        self.micro_batch = micro_batch
        self.models = Cache(MODEL_BYTES, bytes_of)
        self.batches = Cache(SMALL_CACHE)
        self.clean = Cache(SMALL_CACHE)
        self.radii = Cache(RECORDS)
        self.examples = Cache(SMALL_CACHE)
        self.records = Cache(RECORDS)
        self.fitted = Cache(SMALL_CACHE)
        self.faces = Cache(RECORDS)
        self.lpips: Lpips | None = None
        self.nets: Nets | None = None
        self.stopping = False

    def stop(self) -> None:
        """Make `run` return after the unit at hand, and at once when called again. Called from another thread."""
        self.stopping = True

    def ready(self, token: str) -> list[str]:
        """Say what keeps this host from working, with the fix; empty where nothing does.

        Args:
            token: name of a file that the driver has put into the results folder.
        """
        node, problems = platform.node(), []
        if not self.store.exists(token):
            problems.append(
                f"results: {self.store.locate('')} on {node} is not the folder that the driver writes to; "
                "choose a folder that all nodes share"
            )
        if self.device.type == "cuda" and not torch.cuda.is_available():
            problems.append(
                f"Ray gave a host on {node} a GPU, and torch {torch.__version__} sees none there; install the driver and "
                "a torch for it, or compute on CPUs: --gpus-per-host 0"
            )
        return problems

    def preflight(self, check: Preflight, table: pa.Table) -> list[str]:
        """Load a victim and try it on a few samples. Returns what is wrong with it, with the fix; empty where it is fit.

        Samples that fail alone don't count, as long as there is one that does not: those become error rows.
        """
        batch = self._batch("preflight", table.slice(0, PREFLIGHT_SAMPLES), check.classes).framed()
        try:
            victim = self._tried(check.model, batch)
            for layer in check.layers:
                victim.layers.place(layer)
            if "lpips" in check.perceptual:
                self._lpips()
        except UsageError as error:
            return list(error.messages)

        def problems(where: Sequence[int]) -> list[str]:
            some = batch.take(where)
            return check_victim(
                victim,
                some.x,
                some.labels,
                check.classes,
                may_be_masked=check.may_be_masked,
                may_be_random=check.may_be_random,
            )

        everywhere = range(len(batch.ids))
        found = problems(everywhere)
        sound = [i for i in everywhere if found and not problems([i])]
        return problems(sound) if sound else found

    def _tried(self, model: Model, batch: Batch) -> Victim:
        """Return a model; one whose defense has to be fitted first as it is when fitted on this batch, one that has yet to learn as
        it is before that."""
        if not model.fits:
            return self._model(model)
        if model.fit is None:
            return load_model(model, self.device)
        fitted = found(model.fit, batch, self._tried(model.fit.model, batch), self._at_once(model, batch)).tensors
        return load_model(model, self.device, fitted)

    def run(self, tasks: Sequence[Task], *tables: pa.Table) -> list[Report]:
        """Run tasks in order and commit each unit as it is done; `tables` are the shards of the tasks, one each.

        What goes wrong with a unit is told in its report and stops nothing but the rest of its task.
        """
        reports: list[Report] = []
        for task, table in zip(tasks, tables, strict=True):
            for unit in task.units:
                if self.stopping:
                    return reports
                reports.append(self._report(unit, table))
                if reports[-1].error:
                    break
        return reports

    def _report(self, unit: Unit, table: pa.Table) -> Report:
        started = time.perf_counter()
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(int(unit.key[:15], 16))  # for victims that draw from the global generator themselves
                counts = self._compute(unit, table)
        except UsageError as error:  # a full disk, say: nothing to retry, and the driver must tell
            return Report(unit.key, time.perf_counter() - started, {}, str(error), fatal=True)
        except Exception:
            return Report(unit.key, time.perf_counter() - started, {}, traceback.format_exc(limit=TRACEBACK_FRAMES))
        return Report(unit.key, time.perf_counter() - started, counts)

    def _compute(self, unit: Unit, table: pa.Table) -> dict[str, int]:
        if isinstance(unit, Score):
            return self._score(unit, table)
        if isinstance(unit, Craft):
            return self._craft(unit, table)
        batch = self._batch(unit.shard.key, table, unit.classes).framed()
        if isinstance(unit.what, VictimSpec):
            train_unit(self.store, unit, batch)
        elif isinstance(unit.what, Enrollment):
            enroll_unit(self.store, unit, batch, table, self._model(unit.model), self._at_once(unit.model, batch))
        else:
            fit_unit(self.store, unit, batch, self._model(unit.model), self._at_once(unit.model, batch))
        return {}

    def _craft(self, unit: Craft, table: pa.Table) -> dict[str, int]:
        batch = self._batch(unit.shard.key, table, unit.classes)
        access = unit.attack.component.access if unit.attack.access == "transfer" else unit.attack.access
        made = craft(
            self._model(unit.model),
            batch,
            unit.attack,
            unit.seed,
            access=access,
            micro_batch=self._at_once(unit.model, batch),
            judging=unit.judging,
            inherited=self._inherited(unit, batch),
            fitted=self._fitted(unit.fit),
            enrolled=self._enrolled(unit.enrolled),
        )
        _refuse_if_all_failed(made.failures, len(batch.ids))
        if commit_craft(self.store, unit.key, *craft_rows(unit, batch, made, table)):
            self.examples.get(unit.key, lambda: Examples(made.x_adv, made.failures, made.claimed))
        return {}

    def _score(self, unit: Score, table: pa.Table) -> dict[str, int]:
        craft_unit = unit.craft
        batch = self._batch(craft_unit.shard.key, table, craft_unit.classes)
        model = self._model(unit.model)
        clean = self._clean(unit, batch)
        examples = self._examples(craft_unit, batch)
        match = self._comparison(unit, batch)
        started = time.perf_counter()
        verdicts = score(
            model,
            batch,
            unit.cell.attack,
            craft_unit.seed,
            examples.x_adv,
            examples.failures,
            clean,
            self._at_once(unit.model, batch),
            self._inherited(craft_unit, batch),
            unit.cell.judging.broken_at,
            unit.cell.judging.stored,
            self._lpips() if "lpips" in unit.cell.perceptual else None,
            match,
        )
        each = (time.perf_counter() - started) / len(verdicts)
        _refuse_if_all_failed({i: v.error or "" for i, v in enumerate(verdicts) if v.status == "error"}, len(verdicts))
        shared = {**trial_key(unit), "seconds": each, "device": self.device.type, "host": platform.node()}
        samples, answers = sample_rows(table), None
        if isinstance(match, Match):
            faces, answers = face_rows(unit, table, match.threshold), ANSWERS
            samples = [
                {**sample, **face, "probe_known": match.probe_known}
                for sample, face in zip(samples, faces, strict=True)
            ]
        rows = [
            {**shared, **sample, **verdict_row(verdict, claimed, answers), "certified_radius": radius}
            for sample, verdict, claimed, radius in zip(
                samples, verdicts, examples.claimed, self._radii(unit, batch), strict=True
            )
        ]
        if batch.x.ndim == 2:
            of_sound = sound_rows(examples.x_adv, batch.x, unit.model.info.sample_rate, unit.cell.perceptual)
            rows = [{**row, **more} for row, more in zip(rows, of_sound, strict=True)]
        if unit.cell.layers:
            judged = [i for i, verdict in enumerate(verdicts) if verdict.prediction is not None]
            after, before = (replace(batch, x=x).framed().x[judged] for x in (examples.x_adv, batch.x))
            pairs = before.roll(1, 0) if len(judged) > 1 else before[:0]
            for column, z in (("layer_distance", after), ("pair_distance", pairs)):
                found = layer_distances(model, z, before[: len(z)], self._at_once(unit.model, batch))
                for i, distances in zip(judged, found, strict=False):
                    rows[i][column] = distances
        if unit.cell.detector:
            for row, clean_face, face in zip(rows, *self._found(unit, batch, examples.x_adv), strict=True):
                row |= {"clean_face_found": clean_face, "face_found": None if row["prediction"] is None else face}
        plays = plays_of(unit.cell.attack, batch, craft_unit.seed, unit.cell.judging.draws)
        looks = [
            row
            for i, (sample, verdict) in enumerate(zip(batch.ids, verdicts, strict=True))
            for row in draw_rows(unit, sample, verdict, answers, None if plays is None else plays[i])
        ]
        commit_trials(self.store, unit.key, rows, craft_unit.shard.size, looks)
        counts: dict[str, int] = {}
        for verdict in verdicts:
            counts[verdict.status] = counts.get(verdict.status, 0) + 1
        return counts

    def _inherited(self, unit: Craft, batch: Batch) -> Inherited | None:
        """Read what a unit takes over from the one before it in its series, and whom it is called to attack."""
        if unit.parent is None:
            return None
        records: list[Record] = []
        parent: Score | None = unit.parent
        while parent is not None:
            records.insert(0, self.records.get(parent.key, partial(self._record, parent, batch)))
            parent = parent.craft.parent
        examples = self._examples(unit.parent.craft, batch)
        when = unit.attack.stage.when if unit.attack.stage else ""
        unknown = unknown_in_suite(records, unit.attack.eps)
        return Inherited(examples.x_adv, records[-1].broken, CONDITIONS[when](records), examples.failures, unknown)

    def _record(self, unit: Score, batch: Batch) -> Record:
        return read_record_of(self.store, unit, batch, self._clean_margins(unit, batch))

    def _clean_margins(self, unit: Score, batch: Batch) -> list[float]:
        clean = self._clean(unit, batch)
        match = self._comparison(unit, batch)
        clean = clean if match is None else match.judged_by(clean)
        margins: list[float] = goal_of(unit.craft.attack, batch, unit.craft.seed).margin(clean.logits).tolist()
        return margins

    def _clean(self, unit: Score, batch: Batch) -> Outputs:
        """Return what the unit's model says of the clean inputs, as often and through the same channel as of the examples."""
        seed, draws, attack = unit.craft.seed, unit.cell.judging.draws, unit.cell.attack

        def make() -> Outputs:
            channel = channel_of(attack, batch, seed)
            numbers = numbers_of(batch, seed)
            model = self._model(unit.model)
            return run_model(
                model, batch.x, batch.classes, self._at_once(unit.model, batch), draws, channel, numbers, alarms=True
            )

        key = (unit.model.digest, unit.craft.shard.key, draws, attack.channel, seed)
        return self.clean.get(key, make)

    def _radii(self, unit: Score, batch: Batch) -> list[float | None]:
        """Return what the unit's model certifies of the clean inputs; nothing through a channel, behind which it sees others."""
        if unit.cell.attack.channel is not None:
            return [None] * len(batch.ids)
        seed = unit.craft.seed

        def make() -> list[float | None]:
            model, x = self._model(unit.model), batch.framed().x
            # A pass holds so many values of each sample, copies of small ones.
            copies = max(AT_ONCE // x[0].numel(), 1)
            size = self.micro_batch or max(samples_of_a_pass(x.shape[1:], unit.model.info.native) // copies, 1)
            return vouched(model, x, batch.labels, size, numbers_of(batch, seed))

        return self.radii.get((unit.model.digest, unit.craft.shard.key, seed), make)

    def _found(self, unit: Score, batch: Batch, x_adv: Tensor) -> tuple[list[bool], list[bool]]:
        """Return in which clean photos, and in which examples as judged, a detector finds the face."""
        nets = self.nets = self.nets or load_nets()
        shown = read_back(stored(x_adv, batch.x), batch.x) if unit.cell.judging.stored else x_adv
        clean: list[bool] = self.faces.get(unit.craft.shard.key, lambda: faces_found(nets, batch.framed().x))
        return clean, faces_found(nets, replace(batch, x=shown).framed().x)

    def _examples(self, unit: Craft, batch: Batch) -> Examples:
        def read() -> Examples:
            before = None if unit.parent is None else self._examples(unit.parent.craft, batch)
            return read_examples_of(self.store, unit, batch, before)

        return self.examples.get(unit.key, read)

    def _at_once(self, model: Model, batch: Batch) -> int | None:
        """Return how many samples go through a victim in one pass."""
        if self.micro_batch is not None or self.device.type != "cpu":
            return self.micro_batch
        shape = batch.x[0].shape if batch.framing is None else (3, SIDE, SIDE)
        return samples_of_a_pass(shape, model.info.native)

    def _lpips(self) -> Lpips:
        if self.lpips is None:
            self.lpips = load_lpips(self.device)
        return self.lpips

    def _model(self, model: Model) -> Victim:
        def make() -> Victim:
            return load_model(model, self.device, self._fitted(model.fit), self._fitted(model.trained))

        return self.models.get(model.digest, make)

    def _fitted(self, unit: Fit | None) -> Mapping[str, Tensor] | None:
        """Return what a fit unit has found, from the results."""
        return None if unit is None else self.fitted.get(unit.key, lambda: read_fitted(self.store, unit, self.device))

    def _enrolled(self, unit: Fit | None) -> Enrolled | None:
        """Return the clean photos as a model knows them, from the results."""
        tensors = self._fitted(unit)
        return None if tensors is None else Enrolled.read(tensors)

    def _comparison(self, unit: Score, batch: Batch) -> Match | Hearing | None:
        """Return what makes decisions of the outputs of the unit's model, where these are no scores of classes."""
        enrolled, far = self._enrolled(unit.enrolled), unit.cell.judging.far
        return comparison_of(unit.cell.attack, batch, self._model(unit.model), enrolled, far)

    def _batch(self, key: str, table: pa.Table, classes: int) -> Batch:
        def make() -> Batch:
            return batch_of(table, classes, self.device)

        return make() if key == "preflight" else self.batches.get((key, classes), make)


def _refuse_if_all_failed(failures: Mapping[int, str], samples: int) -> None:
    """Raise where every sample failed: that is the unit's failure, to be tried again, and no result.

    An outage, a bug or a broken device fails everything; what fails on some samples only is a property of those samples.
    """
    if len(failures) == samples:
        raise RuntimeError(f"every sample failed; the first: {failures[0]}")
