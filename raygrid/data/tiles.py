"""`photo-tiles`: crops of packaged photos whose labels are the agreement of three nets. Loading needs no net: boxes and labels
stand in `photo_tiles.csv` beside this module, which `python -m raygrid.data.make_tiles` wrote."""

from collections.abc import Iterable
from csv import DictReader, DictWriter
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from raygrid.assets import fetch_all
from raygrid.data.catalog import PHOTO_TILES, TilesParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import cut, open_image
from raygrid.data.labels import interleave
from raygrid.data.pins import PHOTOS

Box = tuple[int, int, int]
"""A square of a photo: left, top, side."""

LIST = Path(__file__).with_name("photo_tiles.csv")
NOTES = (
    "Labels are the common top-1 answer of EfficientNet-Lite0, 1 and 2 on the clean crop, not the truth: what is measured is "
    "agreement robustness, and clean accuracy of those three is 100 % by construction at size 224. Crops of one photo are not "
    "independent: intervals must be clustered by photo."
)


@dataclass(frozen=True)
class Tile:
    """One labeled crop: a square box of a photo."""

    photo: str
    """Name of the pinned asset."""
    x: int
    y: int
    """Left and top edge in pixels of the photo."""
    side: int
    """Width and height in pixels of the photo."""
    label: int
    """The ImageNet class on which the nets agree."""
    confidence: float
    """Probability that the least sure of the nets gives to the label."""

    @property
    def box(self) -> Box:
        """Left, top, side."""
        return self.x, self.y, self.side

    @property
    def id(self) -> str:
        """Stable name: the photo and the box."""
        return f"{self.photo}@{self.x},{self.y},{self.side}"


def photo_tiles(params: TilesParams, limit: int | None) -> Dataset:
    """Return the first `limit` crops, one of each photo in turn. Metadata: `confidence` of the label, `side` of the crop."""
    listed = [tile for tile in read_tiles() if tile.confidence >= params.min_confidence]
    tiles = [listed[i] for i in interleave([tile.photo for tile in listed])[:limit]]
    photos = read_photos({tile.photo for tile in tiles})
    x = [crops(photos[tile.photo], [tile.box], params.size) for tile in tiles]
    return Dataset(
        name=PHOTO_TILES.name,
        table=make_table(
            [tile.id for tile in tiles],
            np.concatenate(x) if x else np.empty((0, 3, params.size, params.size), dtype=np.uint8),
            np.array([tile.label for tile in tiles], dtype=np.int64),
            clusters=[tile.photo for tile in tiles],
            confidence=[tile.confidence for tile in tiles],
            side=[tile.side for tile in tiles],
        ),
        classes=1000,
        license=PHOTO_TILES.license,
        source=PHOTO_TILES.source,
        notes=NOTES,
    )


def read_photos(names: Iterable[str]) -> dict[str, Image.Image]:
    """Return packaged photos by the name of their asset, in the order of the pins."""
    wanted = set(names)
    assets = [asset for asset in PHOTOS if asset.name in wanted]
    files = fetch_all(assets)
    return {asset.name: open_image(file, str(file)).convert("RGB") for asset, file in zip(assets, files, strict=True)}


def crops(photo: Image.Image, boxes: Iterable[Box], size: int) -> np.ndarray:
    """Cut boxes out of an RGB photo: uint8 [N, 3, size, size]."""
    return np.stack([np.asarray(cut(photo, box, size)) for box in boxes]).transpose(0, 3, 1, 2)


def read_tiles(file: Path = LIST) -> list[Tile]:
    """Return the listed tiles, in the order of the file."""
    with file.open(newline="") as lines:
        return [
            Tile(
                row["photo"],
                int(row["x"]),
                int(row["y"]),
                int(row["side"]),
                int(row["label"]),
                float(row["confidence"]),
            )
            for row in DictReader(lines)
        ]


def write_tiles(tiles: Iterable[Tile], file: Path = LIST) -> None:
    """Write the list."""
    with file.open("w", newline="") as lines:
        writer = DictWriter(lines, [field.name for field in fields(Tile)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(tile) for tile in tiles)
