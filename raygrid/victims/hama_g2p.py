"""The grapheme-to-phoneme model of hama 1.3.13, with NumPy: how an English word is spoken, in the phonemes its recognizer writes.

Letters pass a small convolution and two bidirectional GRUs; a decoder of two GRUs with location-aware attention (Chorowski et al.
2015) then writes one phoneme at a time, the most probable one. Its published weights are read from the two ONNX files, whose graphs
are not run. Imports no torch: goal texts are spelled out where jobs are planned.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from raygrid.victims.onnx_tensors import read_tensors

Array = np.ndarray
NORM_EPS = 1e-5
START, END = 1, 2
"""Tokens that open and close a word."""
MOST_LETTERS, MOST_PHONEMES = 128, 32
STRAY = 0.0999755859375
"""What a letter's score loses for each place between it and where the last phoneme looked."""


@dataclass(frozen=True)
class Tensors:
    """Weights of the model, under the names of its files."""

    encoder: dict[str, Array]
    decoder: dict[str, Array]


def read_g2p(encoder: Path, decoder: Path) -> Tensors:
    """Read the weights of both files."""
    return Tensors(read_tensors(encoder), read_tensors(decoder))


def phonemes(letters: list[int], tensors: Tensors) -> list[int]:
    """Return the phonemes of one word.

    Args:
        letters: places in the model's list of letters, at most 128.

    Returns:
        Places in its list of phonemes, without the marks of the start and the end; at most 32.
    """
    values, hidden = _encode(letters, tensors.encoder)
    keys = values @ tensors.encoder["onnx::MatMul_539"]
    attention = np.full(len(letters), 1 / len(letters), np.float32)
    last, found = START, list[int]()
    for _ in range(MOST_PHONEMES):
        last, hidden, attention = _write(last, hidden, attention, values, keys, tensors.decoder)
        if last == END:
            break
        found.append(last)
    return found


def _encode(letters: list[int], w: dict[str, Array]) -> tuple[Array, list[Array]]:
    """Return values [L, 192] of the letters, and the decoder's first states [96], one a layer."""
    x = w["model.encoder_embedding.weight"][letters]
    kernel = w["model.frontend.depthwise.weight"][:, 0].T
    padded = np.pad(x, ((2, 2), (0, 0)))
    near = sum(padded[tap : tap + len(x)] * kernel[tap] for tap in range(len(kernel)))
    x = _norm(x + near @ w["model.frontend.pointwise.weight"][:, :, 0].T, "model.frontend.norm", w)
    h, states = x, list[Array]()
    for numbers in (("484", "485", "483"), ("527", "528", "526")):
        forth, back = (_gates(numbers, way, w) for way in (0, 1))
        runs = [_gru(h, forth), _gru(h[::-1], back)[::-1]]
        states.append(np.concatenate([runs[0][-1], runs[1][0]]))
        h = np.concatenate(runs, axis=1)
    first = [np.tanh(w["model.bridge.weight"] @ state + w["model.bridge.bias"]) for state in states]
    return _norm(h + x @ w["onnx::MatMul_532"], "model.encoder_out_norm", w), first


def _write(
    last: int, hidden: list[Array], attention: Array, values: Array, keys: Array, w: dict[str, Array]
) -> tuple[int, list[Array], Array]:
    """Return the next phoneme, the states behind it, and which letters [L] it came from."""
    embedded = w["model.decoder_embedding.weight"][last]
    x, states = embedded, list[Array]()
    for state, numbers in zip(hidden, (("279", "280", "281"), ("299", "300", "301")), strict=True):
        x = _gru(x[None], _gates(numbers, 0, w), state)[0]
        states.append(x)
    query = _norm(x + embedded @ w["onnx::MatMul_302"], "model.decoder_state_norm", w)
    attention = _attend(query, attention, keys, w)
    context = _norm(attention @ values, "model.context_norm", w)
    joined = np.tanh(w["model.context_proj.weight"] @ np.concatenate([query, context]) + w["model.context_proj.bias"])
    fused = _norm(joined, "model.fusion_norm", w)
    narrow = w["model.output_in_proj.weight"] @ fused + w["model.output_in_proj.bias"]
    return int((narrow @ w["onnx::MatMul_306"]).argmax()), states, attention


def _attend(query: Array, attention: Array, keys: Array, w: dict[str, Array]) -> Array:
    """Return which letters [L] the next phoneme comes from, where the last came from `attention`."""
    places = np.arange(len(keys), dtype=np.float32)
    kernel = w["model.attention.location_conv.weight"][:, 0]
    reach = kernel.shape[1] // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(attention, reach), kernel.shape[1]) @ kernel.T
    energy = (
        np.tanh(query @ w["onnx::MatMul_303"] + keys + around @ w["onnx::MatMul_304"]) @ w["onnx::MatMul_305"][:, 0]
    )
    scores = energy - STRAY * np.abs(places - attention @ places)
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def _norm(x: Array, name: str, w: dict[str, Array]) -> Array:
    centered = x - x.mean(-1, keepdims=True)
    spread = np.sqrt(np.square(centered).mean(-1, keepdims=True) + NORM_EPS)
    normed: Array = centered / spread * w[f"{name}.weight"] + w[f"{name}.bias"]
    return normed


class Gates(NamedTuple):
    """Weights of a GRU, its gates in ONNX's order: update, reset, candidate."""

    inward: Array
    """[3 H, C]."""
    onward: Array
    """[3 H, H]."""
    bias: Array
    """[6 H], of both."""


def _gates(numbers: Iterable[str], way: int, w: dict[str, Array]) -> Gates:
    """Return the weights of one way of a GRU: 0 forth, 1 back."""
    return Gates(*(w[f"onnx::GRU_{number}"][way] for number in numbers))


def _gru(x: Array, gates: Gates, state: Array | None = None) -> Array:
    """Return the states [L, H] of a GRU over x [L, C]."""
    inward, onward, bias = gates
    width = onward.shape[1]
    h = np.zeros(width, np.float32) if state is None else state
    entered = x @ inward.T + bias[: 3 * width]
    states = np.empty((len(x), width), np.float32)
    for step, given in enumerate(entered):
        kept = onward @ h + bias[3 * width :]
        update, reset = np.split(_sigmoid(given[: 2 * width] + kept[: 2 * width]), 2)
        candidate = np.tanh(given[2 * width :] + reset * kept[2 * width :])
        h = states[step] = (1 - update) * candidate + update * h
    return states


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))
