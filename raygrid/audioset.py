"""The classes of sounds that AudioSet knows and YAMNet names, and which of the 521 are said of the same sound.

Imports neither torch nor ray.

AudioSet is a hierarchy, and of a barking dog "Bark", "Dog" and "Animal" are all true: an attack that turns one into another has
fooled nobody. `families` are ours, by the names alone: parts are merged into what they are parts of, and what contains nearly
everything, or tells the place, the genre or the mood, is no answer.
"""

import csv
from functools import cache
from typing import Literal

from raygrid.assets import fetch
from raygrid.errors import UsageError, did_you_mean
from raygrid.pins import ASSETS

Kind = Literal["families", "all"]
CLASSES = 521
_GENERAL = (
    "67-68 81 93 103 106 121 132-134 147 156 180 184 190 211-276 282 294 300 316 321 337 382 398 412 418 438 498 "
    "500-508 513 518-520"
)
"""Animal, domestic and wild animals, bird, insect; music, kinds of instruments, genres and moods; water, vehicle, engine, alarm,
mechanisms, tools; places, and kinds of recordings."""
_PARTS = (
    "0-4 6-11 13-18 19-22 24-32 36-41 44-45 46-48 56-58 59-60 61-66 69-75,117 76-80 82-84 85-86 88-89 90-92 94-96 "
    "97-98 99-100 101-102 104-105 107-109 110-111 112-113 114-115 118-120 123-126 127-128 129-130 135-141 148-149 "
    "150-152 153-154 157-163 166-167 169-171 174-178 185-187 195-202 277-279 280-281 283-285 286-287 288-289 "
    "292-293 295-299 301,305-309 302-304,312 317-319,390-391 322-328 329-334 338-347 348,351-352 349-350 353-354 "
    "356-357 358-359 364-366 369-370 378-380 383-388 393-394 396-397,35 400-402 410-411 413-414 415-417 420-425 "
    "426-427 431-433 435-437 439-449 454-455 461-462"
)
"""Of each run, the first class stands for all: Speech, Shout, Laughter, Crying, Singing, ..., Dog, Cat, Horse, Cattle, Pig, ..."""


def _numbers(text: str) -> list[int]:
    ends = [part.partition("-") for part in text.replace(" ", ",").split(",")]
    return [number for first, _, last in ends for number in range(int(first), int(last or first) + 1)]


@cache
def families() -> tuple[tuple[int, ...], ...]:
    """Return the classes of each family, in the order of their first ones; the first names it."""
    merged = [tuple(_numbers(part)) for part in _PARTS.split()]
    known = {*_numbers(_GENERAL), *(number for family in merged for number in family)}
    alone = [(number,) for number in range(CLASSES) if number not in known]
    return tuple(sorted((*merged, *alone)))


@cache
def every_name() -> tuple[str, ...]:
    """Return how AudioSet calls the 521 classes.

    Raises:
        UsageError: the list cannot be had.
    """
    with fetch(ASSETS["yamnet-classes"]).open(encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))


def class_names(kind: Kind) -> tuple[str, ...]:
    """Return the names in the order of the victim's scores."""
    every = every_name()
    return every if kind == "all" else tuple(every[family[0]] for family in families())


def label_of(name: str, kind: Kind, field: str) -> int:
    """Return the place of a class, or of the family that it belongs to, among the victim's scores.

    Raises:
        UsageError: there is no such class, or it is so general that no family has it; `field` is what the message begins with.
    """
    every = every_name()
    if name not in every:
        raise UsageError(f'{field}: AudioSet knows no class "{name}"{did_you_mean(name, every)}')
    number = every.index(name)
    if kind == "all":
        return number
    for place, family in enumerate(families()):
        if number in family:
            return place
    raise UsageError(f'{field}: "{name}" says too little to be an answer; name the sound itself, or say classes: all')
