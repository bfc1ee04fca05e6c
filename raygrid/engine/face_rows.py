"""What an enrollment adds to the result tables: how well a victim tells people apart; and what a detector says of faces."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from torch import Tensor

from raygrid.data.face_detection import Nets, find_in_frame
from raygrid.data.listed_pairs import listed
from raygrid.data.pairs import CALIBRATION
from raygrid.engine.rows import Row
from raygrid.metrics.verification import auc, threshold_at
from raygrid.verification import Enrolled, all_pairs, listed_pairs

FARS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001, 5e-4, 3e-4, 2e-4, 1e-4, 1e-5, 1e-6)
"""False accept rates at which a victim is described, down to one accepted pair of the calibration."""


def verification_rows(enrolled: Enrolled, gallery: pa.Table) -> Iterator[Row]:
    """Yield FAR and FRR, of the people that thresholds are set on and of the others, at thresholds set on the former.

    Args:
        enrolled: the photos.
        gallery: the table of them, which says whom they show, who sets thresholds, and which pairs are listed, if any.
    """
    calibration, people = (gallery.column(name).to_pylist() for name in (CALIBRATION, "label"))
    impostors = enrolled.impostors.cpu().numpy()
    thresholds = {far: threshold_at(impostors, far) for far in FARS if far * len(impostors) >= 1}
    for name, apart in (("calibration", True), ("judged", False)):
        some = listed(gallery, calibration=apart)
        chosen = [i for i, mark in enumerate(calibration) if mark == apart]
        if some is not None:
            pairs = listed_pairs(enrolled.embeddings, people, enrolled.similarity, some)
            chosen = sorted({photo for pair in some for photo in pair})
        else:
            pairs = all_pairs(enrolled.embeddings[chosen], [people[i] for i in chosen], enrolled.similarity)
        eer, low, high = pairs.eer
        shared = {
            "people_are": name,
            "people": len({people[i] for i in chosen}),
            "photos": len(chosen),
            "pairs_of_people": pairs.pairs_of_people,
            "eer": eer,
            "eer_low": low,
            "eer_high": high,
            "auc": auc(pairs.similarity[pairs.genuine], pairs.impostors),
        }
        for far, threshold in thresholds.items():
            rates = {"far": pairs.far(threshold), "frr": pairs.frr(threshold)}
            numbers = {
                f"{rate}{suffix}": value
                for rate, found in rates.items()
                for suffix, value in (
                    ("", found.value),
                    ("_num", found.num),
                    ("_den", found.den),
                    ("_low", found.low),
                    ("_high", found.high),
                )
            }
            yield {**shared, "far_asked": far, "threshold": threshold, **numbers}


def faces_found(nets: Nets, x: Tensor) -> list[bool]:
    """Return in which canonical frames x [N, 3, 160, 160] in [0, 1] a detector finds the face, as the nearest file of 8 bits."""
    frames = np.rint(x.cpu().nan_to_num().clamp(0, 1).numpy() * 255).astype(np.uint8)
    return [find_in_frame(nets, frame) for frame in frames]
