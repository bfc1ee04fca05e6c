"""`road-signs`: drawn road signs in drawn surroundings, each from its own seed. Synthetic: no photo is in them.

Every sample is drawn from its id alone, so that limits and other samples change nothing. The bytes are the same for one version of
Pillow and NumPy; where another version draws differently, the shard's fingerprint differs too, and units are computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from raygrid.data.catalog import ROAD_SIGNS, SignParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.sign_faces import FACES, face

CLASSES = tuple(FACES)
PER_CLASS = {"held-out": 100, "train": 400}
"""How many signs of each class a split has."""
FINER = 4
"""A scene is drawn this many times larger than its sample, then averaged."""
LENS = 4.0
"""Distance of the camera, in radii of the sign."""
BARS = (((-0.56, -0.62), (0.56, -0.34)), ((-0.56, 0.34), (0.56, 0.62)))
"""Two stickers, above and below the middle of a face: their upper left and lower right corners."""
THINGS = (
    (58, 92, 44),
    (96, 120, 60),
    (44, 66, 40),
    (122, 98, 72),
    (150, 146, 140),
    (96, 96, 100),
    (142, 84, 66),
    (196, 186, 164),
)
"""Colors of what stands around signs: leaves, grass, bark, concrete, asphalt, brick, plaster."""

Part = Literal["face", "bars"]


@dataclass(frozen=True)
class Pose:
    """Where a sign stands in the frame, whose side is 1."""

    radius: float
    """Half of the face's side, seen from the front."""
    right: float
    """Place of the middle, as is `down`."""
    down: float
    roll: float
    """Degrees in the image plane, as `yaw` and `pitch` out of it."""
    yaw: float
    pitch: float

    @property
    def angle(self) -> float:
        """Degrees between the camera's axis and the sign's."""
        cosine = np.cos(np.radians(self.yaw)) * np.cos(np.radians(self.pitch))
        return float(np.degrees(np.arccos(cosine)))

    def homography(self) -> np.ndarray:
        """Return [3, 3]: from places on the face (-1 to 1) to places in the frame (0 to 1)."""
        (cr, sr), (cy, sy), (cp, sp) = (
            (np.cos(np.radians(degrees)), np.sin(np.radians(degrees))) for degrees in (self.roll, self.yaw, self.pitch)
        )
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        seen = (yaw @ pitch @ roll)[:, :2]
        lens = np.column_stack([seen * [[1], [1], [1 / LENS]], [0, 0, 1]])
        frame = np.array([[self.radius, 0, self.right], [0, self.radius, self.down], [0, 0, 1]])
        return np.asarray(frame @ lens)


def road_signs(params: SignParams, limit: int | None) -> Dataset:
    """Return the first `limit` signs of the split, one of each class in turn. Ids carry split, class and number."""
    kept = [name for name in CLASSES if name in params.classes or not params.classes]
    count = len(kept) * PER_CLASS[params.split]
    numbers = range(count if limit is None else min(limit, count))
    ids = [f"{params.split}-{kept[k % len(kept)]}-{k // len(kept):03d}" for k in numbers]
    poses = [pose_of(sample_id) for sample_id in ids]
    return Dataset(
        name=ROAD_SIGNS.name,
        table=make_table(
            ids,
            np.array([sign(sample_id, params.size) for sample_id in ids], np.uint8).reshape(
                -1, 3, params.size, params.size
            ),
            np.array([CLASSES.index(kept[k % len(kept)]) for k in numbers], dtype=np.int64),
            face_width=[round(2 * pose.radius, 3) for pose in poses],
            view_angle=[round(pose.angle, 1) for pose in poses],
        ),
        classes=len(CLASSES),
        class_names=CLASSES,
        license=ROAD_SIGNS.license,
        source=ROAD_SIGNS.source,
        notes=f"split: {params.split}; synthetic: drawn signs in drawn surroundings, so that figures on them say nothing of photos",
    )


def sign_mask(sample_ids: Sequence[str], size: int, part: Part = "face") -> np.ndarray:
    """Return where stickers may lie on samples of `road-signs`: bool [N, 1, size, size].

    Args:
        sample_ids: as the dataset names them; nothing else is needed to know where a sign stands.
        size: side of the samples in pixels.
        part: `face`: all pixels that lie wholly on the sign's face. `bars`: those of them that lie mostly on two bars above
            and below the middle, as the stickers of Eykholt et al. (CVPR 2018) do.

    Raises:
        ValueError: an id that `road-signs` does not give.
    """
    masks = np.zeros((len(sample_ids), 1, size, size), dtype=bool)
    for mask, sample_id in zip(masks, sample_ids, strict=True):
        pose, whole = pose_of(sample_id), face(_class_of(sample_id), _face_side(size)).getchannel("A")
        mask[0] = _covered(whole, pose, size) == 255
        if part == "bars":
            mask[0] &= _covered(_bars(whole.width), pose, size) > 127
    return masks


def sign(sample_id: str, size: int) -> np.ndarray:
    """Draw one sample: uint8 [3, size, size]."""
    name, pose, generator = _class_of(sample_id), pose_of(sample_id), _generator(sample_id, "scene")
    side = size * FINER
    scene = _surroundings(generator, side)
    _pole(scene, pose, generator)
    front = _seen(face(name, _face_side(size)), pose, side)
    worn = Image.blend(front.convert("RGB"), Image.new("RGB", front.size, (128, 122, 112)), generator.uniform(0, 0.3))
    scene.paste(worn, mask=front.getchannel("A"))
    scene = scene.filter(ImageFilter.GaussianBlur(generator.uniform(0, 0.02) * side))
    return _photographed(np.asarray(scene.reduce(FINER)), generator)


def pose_of(sample_id: str) -> Pose:
    """Return how a sample's sign stands, without drawing it."""
    generator = _generator(sample_id, "pose")
    radius = generator.uniform(0.3, 0.44)
    room = 0.5 - radius
    return Pose(
        radius=radius,
        right=0.5 + room * generator.uniform(-0.8, 0.8),
        down=0.5 + room * generator.uniform(-0.8, 0.8),
        roll=generator.uniform(-8, 8),
        yaw=generator.uniform(-30, 30),
        pitch=generator.uniform(-15, 15),
    )


def _generator(sample_id: str, purpose: str) -> np.random.Generator:
    digest = blake2b(f"{ROAD_SIGNS.name}\0{sample_id}\0{purpose}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _class_of(sample_id: str) -> str:
    for split in PER_CLASS:
        name = sample_id.removeprefix(f"{split}-").rpartition("-")[0]
        if sample_id.startswith(f"{split}-") and name in FACES:
            return name
    raise ValueError(f'sample_id: "{sample_id}" is none of {ROAD_SIGNS.name}; those look like "held-out-stop-000"')


def _face_side(size: int) -> int:
    return max(128, 6 * size)


@cache
def _bars(side: int) -> Image.Image:
    bars = Image.new("L", (side, side))
    for corners in BARS:
        ImageDraw.Draw(bars).rectangle([((1 + x) * side / 2, (1 + y) * side / 2) for x, y in corners], fill=255)
    return bars


def _covered(flat: Image.Image, pose: Pose, size: int) -> np.ndarray:
    """How far each pixel [size, size] is covered by a part of a face, an image of 0 and 255."""
    return np.asarray(_seen(flat, pose, size * FINER).reduce(FINER))


def _seen(flat: Image.Image, pose: Pose, side: int) -> Image.Image:
    """A flat image of a face as it stands in a frame of this side; empty around it."""
    from_frame = np.linalg.inv(pose.homography())
    half = flat.width / 2
    to_flat = np.array([[half, 0, half], [0, half, half], [0, 0, 1]]) @ from_frame @ np.diag([1 / side, 1 / side, 1])
    coefficients = (to_flat / to_flat[2, 2]).ravel()[:8].tolist()
    return flat.transform((side, side), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)


def _surroundings(generator: np.random.Generator, side: int) -> Image.Image:
    """Sky over ground, with blurred blocks, trees and walls before them."""
    cloud, blue = np.array([205, 208, 210]), np.array([120, 170, 230])
    sky = (cloud + generator.uniform(0, 1) * (blue - cloud)) * generator.uniform(0.6, 1.15)
    ground = np.array(THINGS[generator.integers(len(THINGS))]) * generator.uniform(0.6, 1.2)
    horizon = generator.uniform(0.35, 0.95)
    heights = np.linspace(0, 1, side)[:, None, None]
    rows = np.where(heights < horizon, sky * (1 - 0.25 * heights), ground * (0.7 + 0.3 * heights))
    scene = Image.fromarray(np.broadcast_to(rows.clip(0, 255), (side, side, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(scene)
    for _ in range(generator.integers(3, 9)):
        width, height = generator.uniform(0.1, 0.6, 2) * side
        left, bottom = generator.uniform(-0.2, 1) * side, generator.uniform(horizon - 0.15, 1.1) * side
        color = np.array(THINGS[generator.integers(len(THINGS))]) * generator.uniform(0.5, 1.2)
        shape = draw.ellipse if generator.random() < 0.6 else draw.rectangle
        shape((left, bottom - height, left + width, bottom), fill=tuple(color.astype(int).tolist()))
    return scene.filter(ImageFilter.GaussianBlur(generator.uniform(0.01, 0.05) * side))


def _pole(scene: Image.Image, pose: Pose, generator: np.random.Generator) -> None:
    side = scene.width
    gray = int(generator.integers(70, 170))
    slant = np.tan(np.radians(pose.roll)) * (1.1 - pose.down)
    line = [(pose.right * side, pose.down * side), ((pose.right - slant) * side, 1.1 * side)]
    ImageDraw.Draw(scene).line(line, fill=(gray, gray, gray), width=max(1, round(0.14 * pose.radius * side)))


def _photographed(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Values 0..255 [size, size, 3] under some light, with a shadow's slope, haze, tint and noise; uint8 [3, size, size]."""
    size = len(x)
    across, along = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    slope = generator.uniform(-0.15, 0.15, 2)
    light = generator.uniform(0.45, 1.2) * (1 + slope[0] * across + slope[1] * along)[:, :, None]
    haze, tint = generator.uniform(0, 0.2), generator.uniform(0.92, 1.08, 3)
    lit = x * light * tint * (1 - haze) + 170 * haze
    noisy = lit + 255 * generator.uniform(0, 0.03) * generator.standard_normal(x.shape)
    return np.ascontiguousarray(noisy.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1))
