"""How well speech is understood beside what it was before, by the models of two standards: STOI and PESQ.

Both compare an example with the clean clip that it was made of, and mean something where that is speech. Their packages need not be
installed: a job that asks for what is not there is told so, see engine/measures.py.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

PESQ_RATES = {8000: "nb", 16000: "wb"}
"""Samples a second that PESQ is defined for, and its band there."""


def stoi(z: Tensor, x: Tensor, rate: int) -> list[float | None]:
    """Return the short-time intelligibility [B] (Taal et al., IEEE TASLP 2011) of waveforms z [B, T] beside clean x [B, T].

    Near 1: as well understood as the clean clip; near 0: not at all. None where x has less than some 0.4 s that are not silent.
    """
    from pystoi import stoi as compute

    def of(clean: np.ndarray, example: np.ndarray) -> float | None:
        if not clean.any():
            return None
        with warnings.catch_warnings():
            # It warns of too little speech, and answers with a number that means nothing.
            warnings.simplefilter("error")
            try:
                return float(compute(clean, example, rate))
            except (RuntimeWarning, ValueError, IndexError):
                return None

    return _each(of, z, x)


def pesq(z: Tensor, x: Tensor, rate: int) -> list[float | None]:
    """Return the perceived quality [B] of waveforms z [B, T] beside clean x [B, T], a mean opinion score from 1 to 4.64: PESQ
    (ITU-T P.862.2 at 16 kHz, P.862.1 at 8 kHz).

    None at other rates, of clips below a quarter of a second, and where it finds no utterance in one of them.
    """
    from pesq import PesqError
    from pesq import pesq as compute

    band = PESQ_RATES.get(rate)

    def of(clean: np.ndarray, example: np.ndarray) -> float | None:
        if band is None or not (clean.any() and example.any()):
            return None
        found = compute(rate, clean, example, band, on_error=PesqError.RETURN_VALUES)
        return None if found < 0 or not np.isfinite(found) else float(found)

    return _each(of, z, x)


def _each(measure: Callable[[Any, Any], float | None], z: Tensor, x: Tensor) -> list[float | None]:
    pairs = zip(x.double().cpu().numpy(), z.double().cpu().numpy(), strict=True)
    return [measure(*pair) if all(np.isfinite(wave).all() for wave in pair) else None for pair in pairs]
