"""What tables tell of a perturbation of sound besides its norms: how it stands out from the clip that it was added to."""

import math
from collections.abc import Sequence

from torch import Tensor

from raygrid.engine.rows import Row
from raygrid.metrics.intelligibility import pesq, stoi
from raygrid.metrics.masking import masking
from raygrid.metrics.signal import band_snr_db, loudness, peak_db

BAND = (1000.0, 4000.0)
"""Hz. Where ears are keenest, and what small loudspeakers play: Yakura & Sakuma's (IJCAI 2019)."""
BESIDES = {"stoi": stoi, "pesq": pesq}


def sound_rows(z: Tensor, x: Tensor, rate: int, perceptual: Sequence[str] = ()) -> list[Row]:
    """Return the columns that sound alone has, of examples z [B, T] of clean clips x [B, T], as crafted.

    Args:
        z: the examples.
        x: the clips.
        rate: samples a second.
        perceptual: what the grid asks for besides.
    """
    own, clean = loudness(z - x, rate), loudness(x, rate)
    above = masking(x, rate).above(z - x).flatten(1)
    over, share = above.mean(1), (above > 0).double().mean(1)
    columns: dict[str, list[float | None]] = {
        "snr_band_db": _finite(band_snr_db(z, x, rate, *BAND) if rate >= 2 * BAND[1] else None, len(x)),
        "peak_db": _finite(peak_db(z, x), len(x)),
        "loudness_lu": _finite(None if own is None or clean is None else own - clean, len(x)),
        "over_mask_db": _finite(over, len(x)),
        "over_mask_share": _finite(share + 0 * over, len(x)),
        **{name: measure(z, x, rate) for name, measure in BESIDES.items() if name in perceptual},
    }
    return [{name: values[i] for name, values in columns.items()} for i in range(len(x))]


def _finite(values: Tensor | None, samples: int) -> list[float | None]:
    if values is None:
        return [None] * samples
    return [value if math.isfinite(value) else None for value in values.tolist()]
