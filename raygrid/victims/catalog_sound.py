"""Victims that hear and do not write: sound events and voices. Declarations only: imports neither torch nor ray."""

from dataclasses import replace
from typing import Literal

from raygrid.component import Component, Params
from raygrid.pins import ASSETS
from raygrid.victims.info import VictimInfo

RATE = 16_000


class Classes(Params):
    """Which of YAMNet's classes are told apart."""

    classes: Literal["families", "all"] = "families"
    """`all`: AudioSet's 521, of which several are true of one sound ("Bark", "Dog", "Animal"), so that an attack may trade one for
    another and fool nobody. `families`: 216, parts merged into what they are parts of, without those that say the place, the genre,
    or nearly nothing; a family's score is the largest of its classes'."""


YAMNET = VictimInfo(
    id="yamnet",
    arch="yamnet.families",
    classes=216,
    input_shape=(1, None, None),
    mean=(0.0,),
    std=(1.0,),
    weights_sha256=ASSETS["yamnet"].sha256,
    sample_rate=RATE,
    license=ASSETS["yamnet"].license,
    source=ASSETS["yamnet"].origin,
)


def identify_yamnet(params: Classes, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    """Say what the victim is."""
    every = params.classes == "all"
    return replace(YAMNET, id=id, arch=f"yamnet.{params.classes}", classes=521 if every else YAMNET.classes)


RESEMBLYZER = VictimInfo(
    id="resemblyzer",
    arch="resemblyzer.0.1.4",
    classes=256,
    input_shape=(1, None, None),
    mean=(0.0,),
    std=(1.0,),
    weights_sha256=ASSETS["resemblyzer"].sha256,
    task="verification",
    sample_rate=RATE,
    license=ASSETS["resemblyzer"].license,
    source=ASSETS["resemblyzer"].origin,
)


def identify_resemblyzer(params: Params, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    """Say what the victim is."""
    return replace(RESEMBLYZER, id=id)


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="victim",
        name="yamnet",
        heard=True,
        params=Classes,
        summary="YAMNet, which names sounds: 521 classes of AudioSet, or 216 families of them, 3.7 M parameters.",
        build="raygrid.victims.yamnet:build",
        identify=f"{__name__}:identify_yamnet",
        source=f"Plakal & Ellis 2019 (AudioSet, Gemmeke et al. 2017); weights from {YAMNET.source}, read without its quantization",
        license=YAMNET.license,
    ),
    Component(
        kind="victim",
        name="resemblyzer",
        heard=True,
        summary="Resemblyzer's encoder of voices, 256 numbers by the cosine, 1.4 M parameters.",
        build="raygrid.victims.resemblyzer:build",
        identify=f"{__name__}:identify_resemblyzer",
        source=f"Wan et al., ICASSP 2018; weights from {RESEMBLYZER.source}",
        license=RESEMBLYZER.license,
    ),
)
