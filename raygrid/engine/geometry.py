"""`raygrid geometry`: what the victims of a run answer around its examples and around their originals, in all directions.

Looks at examples that broke a bare victim, straight and not through a channel, and that were attacked themselves: one that was
inherited from a smaller eps stands in the cell that it is from.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from raygrid.data.dataset import pixels
from raygrid.engine.frozen import frozen_job, frozen_units
from raygrid.engine.inputs import read_inputs
from raygrid.engine.models import load_model
from raygrid.errors import UsageError, did_you_mean
from raygrid.keys import content_key
from raygrid.randomness import Randomness
from raygrid.results.columns import table
from raygrid.results.folder import check, encode, part_name
from raygrid.results.geometry import reading_table, shares_of
from raygrid.results.geometry_plot import check_plot, save_plot
from raygrid.results.open import Example, Results, open_results
from raygrid.results.schema import GEOMETRY, PAIR
from raygrid.victims.surroundings import class_counts, place_of, sites, values_at
from raygrid.victims.victim import Victim

VERSION = 1
"""Bumped when other numbers come out."""
RADII = tuple(5 * (k / 20) ** 2 for k in range(21))
"""From 0 to 5 norms of the original, close together at first: examples lie some hundredths to two away."""
CENTERS = ("original", "example")
PASS_VALUES = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Input values of one pass at most: 334 digits, one photo on a CPU. 1,536 digits at a time took 1.7 x the time of 256."""
FALLEN = (
    "status = 'broken' AND defense = 'none' AND channel IS NULL AND obtained = 'attacked' AND "
    "goal IN ('untargeted', 'targeted', 'random-target')"
)


@dataclass(frozen=True)
class Selection:
    """Which examples to look at."""

    victim: str | None = None
    """Id of a victim; None: all."""
    attack: str = "true"
    """SQL condition on the columns of `trials`."""
    samples: int = 50
    """How many of a cell at most: the first by id."""


@dataclass(frozen=True)
class Look:
    """How to look at them."""

    layers: tuple[str, ...] = ()
    """Sites, `input` or names of layers; none: the input, and the layer that the attack aimed at, or all rectified ones."""
    radii: tuple[float, ...] = RADII
    radius_unit: Literal["norm", "absolute"] = "norm"
    """Whether radii are multiples of the original's L2 norm at the site, or lengths there."""
    directions: int = 100


def geometry(
    results: str,
    selection: Selection,
    look: Look,
    plot: Path | None = None,
    *,
    run: str | None = None,
    trust: bool = False,
    device: str = "cpu",
    console: Console | None = None,
) -> pa.Table:
    """Count the victims' answers around the selected pairs, store them in the results folder, and return the shares.

    What is stored already is not computed again.

    Args:
        results: a results folder.
        selection: which examples.
        look: where, how far and in how many directions.
        plot: an .svg or .png file to draw the shares into.
        run: id of a run; default the latest.
        trust: whether code that the run's job names may run here. Whoever wrote the folder wrote that job.
        device: a torch device.
        console: where progress is shown.

    Returns:
        A line a cell, site and radius, for a person; the view `geometry_shares` has the numbers.

    Raises:
        UsageError: no such example, victim or layer; radii or a plot that can't be; the job can't be planned any more, or runs
            code and is not trusted; the folder is of an earlier version.
    """
    _check_radii(look.radii)
    if plot is not None:
        check_plot(plot)
    found = open_results(results, run)
    check(found.store, writing=True)
    trials = _selected(found, selection)
    chosen = sorted(zip(trials["unit_key"].to_pylist(), trials["sample_id"].to_pylist(), strict=True))
    key = content_key({"version": VERSION, "look": asdict(look), "pairs": chosen})
    if not found.store.exists(part_name("geometry", key)):
        content = _computed(found, trials, look, key, trust=trust, device=device, console=console)
        found.store.put_if_absent(part_name("geometry", key), encode(content))
    shares = found.query(shares_of(key)).to_pylist()
    if plot is not None:
        save_plot(shares, plot)
    return reading_table(shares)


def parse_radii(text: str | None) -> tuple[float, ...]:
    """Return radii that are separated by commas; RADII where nothing is said.

    Raises:
        UsageError: something is not a number.
    """
    if text is None:
        return RADII
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f'radii: numbers separated by commas, such as 0,0.5,1, not "{text}"') from None


def _check_radii(radii: Sequence[float]) -> None:
    wrong = [r for r in radii if not 0 <= r < float("inf")]
    if wrong or not radii or len(set(radii)) < len(radii):
        raise UsageError(f"radii: one or more different numbers, 0 or more, not {', '.join(map(str, radii)) or 'none'}")


def _selected(found: Results, selection: Selection) -> pa.Table:
    """Return the trials whose examples are looked at, each once, by craft unit."""
    victims = found.query("SELECT DISTINCT victim FROM trials ORDER BY victim")["victim"].to_pylist()
    if selection.victim is not None and selection.victim not in victims:
        hint = did_you_mean(selection.victim, victims) or f"; it has: {', '.join(victims)}"
        raise UsageError(f'this run has no victim "{selection.victim}"{hint}')
    quoted = (selection.victim or "").replace("'", "''")
    of_victim = "true" if selection.victim is None else f"victim = '{quoted}'"
    where = f"{FALLEN} AND {of_victim} AND ({selection.attack}\n)"
    trials = found.query(
        f"SELECT DISTINCT ON (unit_key, sample_id) * FROM (SELECT * FROM trials WHERE {where} "  # noqa: S608 - query() is sealed off
        f"QUALIFY row_number() OVER (PARTITION BY grid, cell_id, seed ORDER BY sample_id) <= {selection.samples}) "
        "ORDER BY craft_key, sample_id, unit_key, cell_id"
    )
    if not trials.num_rows:
        raise UsageError(
            "no trial is selected: geometry looks at examples that broke a classifier without a defense and without a channel; "
            f"say `raygrid query RESULTS` to list them, with: FROM trials WHERE {FALLEN}"
        )
    return trials


def _computed(
    found: Results,
    trials: pa.Table,
    look: Look,
    key: str,
    *,
    trust: bool,
    device: str,
    console: Console | None,
) -> pa.Table:
    inputs = read_inputs(frozen_job(found, trust=trust))
    units = frozen_units(inputs, trials["unit_key"].to_pylist())
    models = {unit.model.digest: unit.model for unit in units.values()}
    victims = {digest: load_model(model, device) for digest, model in models.items()}
    for victim in victims.values():
        for layer in look.layers:
            place_of(victim, layer)  # refuses one that is not there before any work
    pairs = found.examples_of(trials)
    parts: list[pa.Table] = []
    for example in track(
        pairs, "looking around", trials.num_rows, console=console, transient=True, disable=console is None
    ):
        unit = units[example.trial["unit_key"]]
        victim = victims[unit.model.digest]
        shard = inputs.shards[unit.craft.shard.key]
        row = shard["sample_id"].to_pylist().index(example.trial["sample_id"])
        pair = torch.stack([torch.tensor(pixels(shard.slice(row, 1))[0]), torch.tensor(example.x)]).to(device)
        try:
            parts.append(table(_rows(victim, example, pair, look, key), GEOMETRY))
        except Exception as error:  # the victim may be anyone's code, and has never seen such points
            raise UsageError(
                f'victim "{victim.info.id}" fails around sample {example.trial["sample_id"]} or its example: '
                f"{type(error).__name__}: {error}"
            ) from error
    if not parts:
        raise UsageError("the selected trials have no stored examples any more; they were removed after publishing")
    return pa.concat_tables(parts)


def _rows(victim: Victim, example: Example, pair: Tensor, look: Look, key: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of an original and its example, [2, C, H, W], at every site where the original is not zero throughout."""
    trial = example.trial
    randomness = Randomness(trial["seed"], "geometry", [trial["sample_id"]])
    at_once = max(1, PASS_VALUES.get(pair.device.type, PASS_VALUES["cpu"]) // pair[0].numel())
    original_class, example_class = (str(c) for c in victim(pair).argmax(1).tolist())
    target = json.loads(trial["attack_params"]).get("target_layer")
    shared = {
        "geometry_key": key,
        **{name: trial[name] for name in ("unit_key", "craft_key", "sample_id", "cluster", *PAIR)},
        "original_class": original_class,
        "example_class": example_class,
        "radius_unit": look.radius_unit,
        "draws": look.directions,
    }
    for site in look.layers or sites(victim, pair, target):
        values = values_at(victim, site, pair)
        norm, distance = (float(v.double().norm()) for v in (values[0], values[1] - values[0]))
        if not norm:
            continue
        unit = norm if look.radius_unit == "norm" else 1.0
        lengths = [r * unit for r in look.radii]
        counts = class_counts(victim, site, values, lengths, look.directions, randomness, at_once=at_once)
        for k, r, c in counts.nonzero().tolist():
            yield {
                **shared,
                "site": site,
                "place": place_of(victim, site),
                "original_norm": norm,
                "distance": distance / unit,
                "center": CENTERS[k],
                "radius": look.radii[r],
                "class": str(c) if c < victim.info.classes else None,
                "count": int(counts[k, r, c]),
            }
