"""Victims that hear: speech recognizers out of pinned packages. Declarations only: imports no torch and no ray."""

from dataclasses import replace

from raygrid.component import Component, Params
from raygrid.pins import ASSETS
from raygrid.victims.info import VictimInfo

HAMA = VictimInfo(
    id="hama",
    arch="hama.1.3.13",
    classes=191,
    input_shape=(1, None, None),
    mean=(0.0,),
    std=(1.0,),
    weights_sha256=ASSETS["hama-asr"].sha256,
    task="transcription",
    sample_rate=16_000,
    license=ASSETS["hama-asr"].license,
    source=ASSETS["hama-asr"].origin,
)


def identify_hama(params: Params, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    """Say what the victim is."""
    return replace(HAMA, id=id)


WHISPER = VictimInfo(
    id="whisper-tiny.en",
    arch="whisper-tiny.en",
    classes=51_864,
    input_shape=(1, None, None),
    mean=(0.0,),
    std=(1.0,),
    weights_sha256=ASSETS["whisper-tiny-en"].sha256,
    task="transcription",
    access="decision",
    sample_rate=16_000,
    license=ASSETS["whisper-tiny-en"].license,
    source=ASSETS["whisper-tiny-en"].origin,
)


def identify_whisper(params: Params, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    """Say what the victim is."""
    return replace(WHISPER, id=id)


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="victim",
        name="hama",
        summary="A phoneme recognizer (CTC) for waveforms at 16 kHz, 191 tokens, 2.1 M parameters.",
        build="raygrid.victims.hama:build",
        identify=f"{__name__}:identify_hama",
        speller="raygrid.victims.hama_text:hama_text",
        source=f"hamanlp.org (2026), weights from {HAMA.source}; goal texts in phonemes by the package's own speller",
        license=HAMA.license,
    ),
    Component(
        kind="victim",
        name="whisper-tiny.en",
        summary="Whisper tiny.en, which writes English text, 37.8 M parameters: a judge, without scores or gradients.",
        build="raygrid.victims.whisper:build",
        identify=f"{__name__}:identify_whisper",
        source=f"Radford et al. 2022, weights from {WHISPER.source}",
        license=WHISPER.license,
    ),
)
