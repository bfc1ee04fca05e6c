"""The dataset contract: labelled samples as an Arrow table, cut into shards that carry a fingerprint. Imports no torch."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

CORE_COLUMNS = ("sample_id", "cluster", "label", "x")
SMALL_VALUES = 64 * 64 * 3
"""Values of a sample up to which it is small: of such a pass over few is so short that an attack's own arithmetic shows. Over 32
digits PGD costs 1.05 to 1.17 of its passes, over 128 digits 1.01 to 1.09."""
SMALL_SHARD, LARGE_SHARD = 128, 32
"""Samples of a shard where the job says nothing."""


@dataclass(frozen=True)
class Shard:
    """A run of samples that is attacked and judged as one unit."""

    key: str
    """Fingerprint of ids, contents and labels: 32 hex digits."""
    table: pa.Table

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(self.table.num_rows)


Split = Literal["calibration", "judged"] | None


class ListedPair(NamedTuple):
    """Two photos that somebody compares."""

    a: str
    """Id of the photo that attacks, where the pair is attacked."""
    b: str
    """Id of the photo that is known to the attacker."""
    same: bool
    """Whether they show one person."""
    split: Split = None
    """Whether the pair sets thresholds or is judged; None: nobody said."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images, or recordings.

    The table has the columns `sample_id` (string, unique and stable), `cluster` (string; samples that are not independent,
    crops of one photo say, share it; otherwise the sample id), `label` (int64, in 0..classes-1), `x` (fixed-shape tensor
    [C, H, W] of uint8, or of float32 in [0, 1]; a waveform [T] of float32 in [-1, 1]) and any further columns, which are the
    sample's own metadata (slices).
    """

    name: str
    table: pa.Table
    classes: int
    classes_stated: bool = True
    """Whether somebody said so; else `classes` is the largest label + 1, and victims may have more."""
    class_names: tuple[str, ...] = ()
    license: str = ""
    source: str = ""
    people: tuple[int, int] | None = None
    """Where faces are verified: photos of a person that an attacker may have, and photos that judge. Clusters are people then."""
    pairs: tuple[ListedPair, ...] = ()
    """Where faces are verified: the only pairs of photos that count; none: all that there are."""
    notes: str = ""
    """What a reader of the numbers must know, such as that the labels are an agreement of models."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of every sample; of waveforms [T]: 1, 1, T."""
        shape = tuple(self.table.schema.field("x").type.shape)
        return (1, 1, *shape) if len(shape) == 1 else shape

    def on_file(self) -> "Dataset":
        """Return the dataset with values as files of 8 bits hold them, waveforms as files of 16 do; itself where they are such
        already."""
        x = self.table.column("x").combine_chunks().to_numpy_ndarray()
        if x.dtype == np.uint8:
            return self
        rounded = make_table(
            self.table.column("sample_id").to_pylist(),
            np.rint(x * 32768).clip(-32768, 32767) / np.float32(32768)
            if x.ndim == 2
            else np.rint(x * 255).astype(np.uint8),
            self.table.column("label").to_numpy(),
        )
        place = self.table.schema.get_field_index("x")
        return replace(self, table=self.table.set_column(place, rounded.schema.field("x"), rounded.column("x")))

    def parted(self, fit: int) -> tuple[pa.Table, "Dataset"]:
        """Set apart at least `fit` samples, chosen by a hash of their clusters, which stay whole. Returns them, and the rest."""
        clusters = self.table.column("cluster").to_pylist()
        sizes, chosen, found = Counter(clusters), list[str](), 0
        for cluster in self._ranked():
            if found >= fit:
                break
            chosen.append(cluster)
            found += sizes[cluster]
        return self.parted_by(chosen)

    def parted_from_the_end(self, train: int) -> tuple[pa.Table, "Dataset"]:
        """Set apart at least so many samples, of the clusters that `parted` would take last. Returns them, and the rest."""
        clusters = Counter(self.table.column("cluster").to_pylist())
        chosen, found = list[str](), 0
        for cluster in reversed(self._ranked()):
            if found >= train:
                break
            chosen.append(cluster)
            found += clusters[cluster]
        return self.parted_by(chosen)

    def parted_by_clusters(self, number: int) -> tuple[pa.Table, "Dataset"]:
        """Set apart so many clusters, chosen likewise. Returns their samples, and the rest."""
        return self.parted_by(self._ranked()[:number])

    def _ranked(self) -> list[str]:
        clusters = set(self.table.column("cluster").to_pylist())
        return sorted(clusters, key=lambda cluster: blake2b(str(cluster).encode(), digest_size=8).digest())

    def parted_by(self, names: Iterable[str]) -> tuple[pa.Table, "Dataset"]:
        """Set these clusters apart. Returns their samples, and the rest."""
        clusters, chosen = self.table.column("cluster").to_pylist(), set(names)
        apart = np.array([cluster in chosen for cluster in clusters])
        picked, rest = (self.table.take(pa.array(np.flatnonzero(part))) for part in (apart, ~apart))
        return picked.combine_chunks(), replace(self, table=rest.combine_chunks())

    def shards(self, size: int) -> Iterator[Shard]:
        """Cut into shards of at most `size` samples, in order. A shard's key does not depend on how many others there are."""
        for start in range(0, self.table.num_rows, size):
            table = self.table.slice(start, size).combine_chunks()
            yield Shard(fingerprint(table), table)


def usual_shard(shape: Iterable[int]) -> int:
    """Return how many samples of this shape make a shard where the job says nothing."""
    return SMALL_SHARD if prod(shape) <= SMALL_VALUES else LARGE_SHARD


def make_table(
    ids: list[str], x: np.ndarray, labels: np.ndarray, clusters: list[str] | None = None, **metadata: list[Any]
) -> pa.Table:
    """Build the table of a Dataset from arrays: x [N, C, H, W] uint8 or float32, or waveforms [N, T] float32; labels [N]."""
    x = np.ascontiguousarray(x)
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(x.dtype), x.shape[1:])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), int(np.prod(x.shape[1:])))
    columns = {
        "sample_id": pa.array(ids, pa.string()),
        "cluster": pa.array(clusters if clusters is not None else ids, pa.string()),
        "label": pa.array(np.asarray(labels), pa.int64()),
        "x": pa.ExtensionArray.from_storage(kind, flat),
        **{name: pa.array(values) for name, values in metadata.items()},
    }
    return pa.table(columns)


def pixels(table: pa.Table) -> np.ndarray:
    """Return x [N, C, H, W] as float32 in [0, 1], or waveforms [N, T] in [-1, 1]; read-only where no conversion was needed."""
    return scaled(table.column("x").combine_chunks().to_numpy_ndarray())


def scaled(x: np.ndarray) -> np.ndarray:
    """Return pixels or a waveform as victims take them: float32, and pixels in [0, 1]."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x


def fingerprint(table: pa.Table) -> str:
    """Hash ids, contents, labels, clusters and metadata of the samples."""
    digest = blake2b(digest_size=16)
    for name in sorted(table.column_names):
        column = table.column(name)
        if name == "x":
            x = column.combine_chunks().to_numpy_ndarray()
            digest.update(f"x {x.dtype.str} {x.shape}\0".encode())
            digest.update(np.ascontiguousarray(x).data)
        else:
            digest.update(f"{name} {column.type}\0".encode())
            for value in column.to_pylist():
                digest.update(f"{len(str(value))}:{value}\0".encode())
    return digest.hexdigest()
