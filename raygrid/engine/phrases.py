"""Before any work: can what attackers want to be heard be said, and is there time for it? Imports no torch."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from raygrid.component import resolve
from raygrid.data.dataset import Dataset
from raygrid.errors import UsageError
from raygrid.spec import GridSpec, Job, VictimSpec


class Speller(Protocol):
    """What spells a phrase for a recognizer."""

    def spell(self, text: str) -> list[int]:
        """Return the tokens of a text. Raises UsageError if it can't be said."""

    def samples(self, tokens: list[int]) -> int:
        """Return the length of the shortest clip that has room for the tokens."""


def check_phrases(job: Job, datasets: Mapping[str, Dataset]) -> None:
    """Spell every phrase of a job, and what is said in clips that are to be garbled, for every recognizer that is to hear it.

    Raises:
        UsageError: phrases or transcripts that can't be said, or clips that are too short for a phrase, all at once.
    """
    found = dict.fromkeys(message for grid in job.grids for message in _mistakes(grid, datasets))
    if found:
        raise UsageError(*found)


def _mistakes(grid: GridSpec, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    phrases = {attack.phrase for attack in grid.attacks if attack.phrase}
    listeners: dict[str, VictimSpec] = {
        victim.component.speller: victim
        for victim in (*grid.victims, *(attack.source for attack in grid.attacks if attack.source))
        if victim.component.speller
    }
    garbled = any(attack.goal == "garble" for attack in grid.attacks)
    for victim in listeners.values() if phrases or garbled else ():
        speller: Speller = resolve(victim.component.speller)()
        for data in (datasets[spec.key] for spec in grid.data if garbled):
            yield from _unsaid(f"grids.{grid.name}: data {data.name}", data, speller)
        for phrase in sorted(phrases):
            where = f'grids.{grid.name}: phrase "{phrase}" for victim "{victim.id}"'
            try:
                needed = speller.samples(speller.spell(phrase))
            except UsageError as error:
                yield from (f"{where}: {message}" for message in error.messages)
                continue
            for data in (datasets[spec.key] for spec in grid.data):
                rate, length = data.extra.get("sample_rate", 0), data.shape[-1]
                if rate and length < needed:
                    yield (
                        f"{where}: clips of {data.name} last {length / rate:.2f} s, and it takes {needed / rate:.2f} s at least to "
                        "say it: take longer clips or fewer words"
                    )


def _unsaid(where: str, data: Dataset, speller: Speller) -> Iterator[str]:
    """Say which transcripts can't be spelled."""
    if "transcript" not in data.table.column_names:
        return
    for sample, text in zip(
        *(data.table.column(name).to_pylist() for name in ("sample_id", "transcript")), strict=True
    ):
        try:
            speller.spell(text or "nothing")
        except UsageError as error:
            yield from (f'{where}: transcript of "{sample}": {message}' for message in error.messages)
