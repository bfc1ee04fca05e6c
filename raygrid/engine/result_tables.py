"""The tables at the end of a run: one a grid, one line a cell, in the words of what its victims do; and its signs of masking."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table

from raygrid.grid import format_eps
from raygrid.results.open import open_results
from raygrid.spec import TRANSCRIPTION_GOALS

LINES = "SELECT * FROM summary WHERE stage IS NOT DISTINCT FROM stages"
"""A suite is shown as one line, that of its last stage, which counts what all before it broke."""
OF_SOUND = "SELECT DISTINCT grid FROM trials WHERE peak_db IS NOT NULL"
"""Grids whose examples are heard: what is said of photos elsewhere is said of recordings."""
PART = re.compile(
    r"(?:^| )(defense|attack|suite|goal|budget|eot|precision|channel|awareness|judge|phrase)=(.+?)(?= \w+=|$)"
)
"""Parts of a cell's id, see grid.py. A parameter that is a list has blanks."""
AWARE = {"none": "unaware of it", "channel": "unaware of the defense", "defense": "unaware of the channel"}
"""What an attacker does not know of, where there is something to know of."""
STORED = ",stored"
"""Of how it was judged, which goes without saying of sound."""
Place = tuple[str, str, int]
"""Grid, cell and seed."""


def result_tables(results: str) -> Iterator[Table]:
    """Yield the summary of the latest run: a table a grid, one line a cell."""
    found = open_results(results)
    heard = set(found.query(OF_SOUND).column("grid").to_pylist())
    rows = [{**row, "sound": row["grid"] in heard} for row in found.query(LINES).to_pylist()]
    views = ("face_attacks", "speech_attacks")
    faces, speech = ({_place(row): row for row in found.query(f"FROM {view}").to_pylist()} for view in views)
    with_seed = len({row["seed"] for row in rows}) > 1
    for grid in dict.fromkeys(row["grid"] for row in rows):
        chosen = [row for row in rows if row["grid"] == grid]
        if chosen[0]["far"] is not None:
            yield _verifications(grid, chosen, faces, with_seed=with_seed)
        elif chosen[0]["goal"] in TRANSCRIPTION_GOALS:
            yield _transcriptions(grid, chosen, speech, with_seed=with_seed)
        else:
            yield from _accuracies(grid, chosen, with_seed=with_seed)


def _table(title: str, rows: list[dict[str, Any]], headings: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("victim", no_wrap=all(row["defense"] == "none" for row in rows))
    table.add_column("attack", overflow="fold")  # a name that is too long for the terminal goes on below, whole
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _accuracies(grid: str, rows: list[dict[str, Any]], *, with_seed: bool) -> Iterator[Table]:
    """Yield a table of what stands, and one of the attacks that had a class to reach: what is good for one is bad for the other."""
    titles = {True: ("robust accuracy", "robust"), False: ("success of attacks that had a class to reach", "success")}
    for untargeted, (title, heading) in titles.items():
        chosen = [row for row in rows if (row["goal"] == "untargeted") is untargeted]
        if not chosen:
            continue
        table = _table(f"{grid}: {title}", chosen, ("clean", heading, "95 % interval", "n"))
        for row in chosen:
            rate = _percent(row["clean_accuracy"]), *_rate(row)
            table.add_row(_victim(row), _attack(row, with_seed=with_seed), *rate, _count(row))
        yield table


def _verifications(
    grid: str, rows: list[dict[str, Any]], faces: Mapping[Place, dict[str, Any]], *, with_seed: bool
) -> Table:
    """Return the table of attacks on faces or voices: decisions on photos that the attacker never had, beside those on the ones he
    used."""
    headings = ("clean", "success", "95 % interval", "known", "n")
    what = f"{_photo(rows[0])}s that the attacker never had"
    title = f"{grid}: success on {what}, at FAR {rows[0]['far']:g} (known: on those he used)"
    table = _table(title, rows, headings)
    for row in rows:
        face = faces.get(_place(row))
        rates = ("none judged", "", "", "")
        if face is not None and face["judged"]:
            clean, known = (_percent(face[f"{name}_rate"]) for name in ("clean", "known"))
            rates = (clean, *_share(face, "photo_rate"), known)
        table.add_row(_victim(row), _attack(row, with_seed=with_seed), *rates, _count(row))
    return table


def _transcriptions(
    grid: str, rows: list[dict[str, Any]], speech: Mapping[Place, dict[str, Any]], *, with_seed: bool
) -> Table:
    """Return the table of attacks on recognizers: plays that met the goal, errors in all of them, and how loud the attack is."""
    garbled = all(row["goal"] == "garble" for row in rows)
    headings = ("plays", "95 % interval", "errors", *(["clean"] if garbled else []), "SNR", "n")
    title = f"{grid}: plays {'in which speech was garbled' if garbled else 'in which exactly the phrase was heard'}"
    table = _table(title, rows, headings)
    for row in rows:
        found = speech.get(_place(row))
        rates = ("none judged", *[""] * (len(headings) - 2))
        if found is not None and found["judged"]:
            snr = "" if found["snr_db"] is None else f"{found['snr_db']:.1f} dB"
            errors = [_percent(found["error_rate"]), *([_percent(found["clean_error_rate"])] if garbled else [])]
            rates = (*_share(found, "play_rate"), *errors, snr)
        table.add_row(_victim(row), _attack(row, with_seed=with_seed), *rates, _count(row))
    return table


def _share(found: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Return the rate of an attack and its interval; where some trials have no verdict, the range that the rate lies in; nothing
    where there was nothing to count."""
    if found[name] is None:
        return "", ""
    if lacking := found["planned"] - found["judged"]:
        best, worst = found[f"{name}_best"], found[f"{name}_worst"]
        return f"[red]{100 * best:.1f} - {_percent(worst)}[/red]", f"[red]{lacking} unknown[/red]"
    return _percent(found[name]), f"{100 * found[f'{name}_low']:.1f} - {100 * found[f'{name}_high']:.1f}"


def _place(row: Mapping[str, Any]) -> Place:
    return row["grid"], row["cell_id"], row["seed"]


def _count(row: dict[str, Any]) -> str:
    """Say of how many samples the rate is; those of the target's own class are left out of it."""
    there, planned = row["n"] - row["skipped"], row["planned"] - row["skipped"]
    return str(there) if there == planned else f"{there} of {planned}"


def flagged(results: str) -> Iterator[str]:
    """Yield a line for each sign of masking that the latest run shows, one a victim and check."""
    seen = open_results(results).query(
        "SELECT grid, victim, defense, sign, sum(num)::BIGINT AS num, sum(den)::BIGINT AS den, any_value(meaning) AS meaning, "
        "count(*) AS times FROM checks WHERE flagged GROUP BY ALL ORDER BY ALL"
    )
    for row in seen.to_pylist():
        over = f", {row['times']} counts in all" if row["times"] > 1 else ""
        yield (
            f"[red]masked?[/red] {row['grid']}, {_victim(row)}: {row['sign']}, {row['num']} of {row['den']}{over}: {row['meaning']}"
        )


def unanswered(results: str) -> int:
    """Return how many trials of the latest run have no verdict."""
    seen = open_results(results).query(
        "SELECT count(*) AS n FROM trials WHERE status IN ('error', 'timeout', 'invalid')"
    )
    return int(seen["n"][0].as_py())


def _victim(row: dict[str, Any]) -> str:
    """Say which victim and defense, with the parameters of the defense that differ from their defaults."""
    defense = dict(PART.findall(row.get("cell_id", ""))).get("defense", row["defense"])
    return str(row["victim"]) if defense == "none" else f"{row['victim']} + {defense}"


def _attack(row: dict[str, Any], *, with_seed: bool) -> str:
    """Say which attack, with the parameters that differ from their defaults, so that no two lines read alike."""
    said = dict(PART.findall(row["cell_id"]))
    source = f" from {row['source']}" if row["source"] else ""
    name = said.get("suite", said["attack"])
    ball = f"{row['norm']} {format_eps(row['eps'])}" if row["norm"] else ""
    goal = "" if row["goal"] == "untargeted" else str(said["goal"])
    if row["far"] is not None:
        goal = f"{said['goal']}, {_photos(row)}"
    if row["goal"] in TRANSCRIPTION_GOALS:
        goal = str(said.get("phrase", row["goal"]))
    eot = f"eot {said['eot']}" if "eot" in said and "suite" not in said else ""
    seed = f"seed {row['seed']}" if with_seed else ""
    channel = f"through {said['channel']}" if "channel" in said else ""
    knows = said.get("awareness", "all")
    all_there_is = knows == ("channel" if row["defense"] == "none" else "all" if channel else "defense")
    unaware = "" if all_there_is else AWARE.get(knows, "")
    judge = f"broken at {said['judge'].removesuffix(STORED if row['sound'] else '')}" if "judge" in said else ""
    precision = f"{said['precision']} precision" if "precision" in said else ""
    parts = (f"{name}{source}", ball, goal, channel, unaware, said.get("budget", ""), eot, precision, judge, seed)
    return ", ".join(part for part in parts if part)


def _photos(row: dict[str, Any]) -> str:
    combined = "" if row["combine"] == "mean" else f", {row['combine']}"
    return f"{row['photos']} {_photo(row)}{'s' if row['photos'] > 1 else ''}{combined}"


def _photo(row: dict[str, Any]) -> str:
    return "recording" if row["sound"] else "photo"


def _rate(row: dict[str, Any]) -> tuple[str, str]:
    """Return the rate and its interval; where some samples have no verdict, the range that the rate lies in."""
    name = "robust_accuracy" if row["goal"] == "untargeted" else "success_rate"
    value, worst, best = row[name], row[f"{name}_worst"], row[f"{name}_best"]
    if worst is None:
        return "none judged", ""
    if value is None or worst != best:
        low, high = sorted((worst, best))
        unknown = row["error"] + row["timeout"] + row["invalid"] + row["missing"]
        return f"[red]{100 * low:.1f} - {_percent(high)}[/red]", f"[red]{unknown} unknown[/red]"
    return _percent(value), f"{100 * row[f'{name}_low']:.1f} - {100 * row[f'{name}_high']:.1f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
