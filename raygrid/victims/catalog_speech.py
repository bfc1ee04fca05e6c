"""Victims that hear: speech recognizers out of pinned packages. Declarations only: imports no torch and no ray."""

from dataclasses import replace
from typing import Any, Literal

from raygrid.component import Component, Params
from raygrid.pins import ASSETS
from raygrid.victims.catalog_bring import File, Sha256
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


Bundle = Literal[
    "WAV2VEC2_ASR_BASE_10M",
    "WAV2VEC2_ASR_BASE_100H",
    "WAV2VEC2_ASR_BASE_960H",
    "WAV2VEC2_ASR_LARGE_10M",
    "WAV2VEC2_ASR_LARGE_100H",
    "WAV2VEC2_ASR_LARGE_960H",
    "WAV2VEC2_ASR_LARGE_LV60K_10M",
    "WAV2VEC2_ASR_LARGE_LV60K_100H",
    "WAV2VEC2_ASR_LARGE_LV60K_960H",
    "HUBERT_ASR_LARGE",
    "HUBERT_ASR_XLARGE",
]
BUNDLES: dict[Bundle, str] = {
    "WAV2VEC2_ASR_BASE_10M": "wav2vec2_fairseq_base_ls960_asr_ll10m.pth",
    "WAV2VEC2_ASR_BASE_100H": "wav2vec2_fairseq_base_ls960_asr_ls100.pth",
    "WAV2VEC2_ASR_BASE_960H": "wav2vec2_fairseq_base_ls960_asr_ls960.pth",
    "WAV2VEC2_ASR_LARGE_10M": "wav2vec2_fairseq_large_ls960_asr_ll10m.pth",
    "WAV2VEC2_ASR_LARGE_100H": "wav2vec2_fairseq_large_ls960_asr_ls100.pth",
    "WAV2VEC2_ASR_LARGE_960H": "wav2vec2_fairseq_large_ls960_asr_ls960.pth",
    "WAV2VEC2_ASR_LARGE_LV60K_10M": "wav2vec2_fairseq_large_lv60k_asr_ll10m.pth",
    "WAV2VEC2_ASR_LARGE_LV60K_100H": "wav2vec2_fairseq_large_lv60k_asr_ls100.pth",
    "WAV2VEC2_ASR_LARGE_LV60K_960H": "wav2vec2_fairseq_large_lv60k_asr_ls960.pth",
    "HUBERT_ASR_LARGE": "hubert_fairseq_large_ll60k_asr_ls960.pth",
    "HUBERT_ASR_XLARGE": "hubert_fairseq_xlarge_ll60k_asr_ls960.pth",
}
"""torchaudio's bundles that write English in the same letters -> the name of the file that it downloads. Its other recognizers
write other languages or other letters, and their weights are not for commercial use."""


class Wav2Vec2Params(Params):
    """A recognizer of torchaudio's, its weights in a file that the user has downloaded."""

    path: File
    """The checkpoint of the bundle, read as data; nothing is downloaded. torchaudio's own downloader leaves it in torch's hub
    cache: `python -c "import torchaudio; torchaudio.pipelines.WAV2VEC2_ASR_BASE_960H.get_model()"`."""
    bundle: Bundle = "WAV2VEC2_ASR_BASE_960H"
    """Name of the bundle in torchaudio.pipelines: those that write English letters at 16 kHz."""
    sha256: Sha256 | None = None
    """Refuse a file with any other sha256."""

    def keyed(self) -> Any:
        """The file by what it holds, which the victim's facts tell."""
        return {"bundle": self.bundle}


WAV2VEC2 = VictimInfo(
    id="wav2vec2",
    arch="torchaudio",
    classes=29,
    input_shape=(1, None, None),
    mean=(0.0,),
    std=(1.0,),
    weights_sha256="",
    task="transcription",
    sample_rate=16_000,
    license="MIT",
    source="torchaudio",
)
"""What all of them are, before there is a file."""


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
    Component(
        kind="victim",
        name="wav2vec2",
        summary="A character recognizer (CTC) of torchaudio's bundles, wav2vec 2.0 or HuBERT, with weights from your file.",
        params=Wav2Vec2Params,
        shorthand="path",
        build="raygrid.victims.wav2vec2:build",
        identify="raygrid.victims.wav2vec2_file:identify",
        speller="raygrid.victims.wav2vec2_text:characters",
        source="Baevski et al. 2020, Hsu et al. 2021, by torchaudio; held to torchaudio's own outputs on small random weights, "
        "and never run with the published ones",
        license="MIT",
    ),
)
