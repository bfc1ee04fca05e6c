"""The built-in face embedders: canonical frames in, embeddings out. Declarations only: imports no torch and no ray."""

from dataclasses import replace
from functools import partial

from pydantic import Field

from raygrid.component import Component, Params
from raygrid.pins import ASSETS
from raygrid.victims.info import Similarity, VictimInfo

FRAME = (3, 160, 160)
"""Shape of a canonical frame; see `raygrid/data/alignment.py`."""
ARCFACE_CROP = "cuts ArcFace's 112x112 out of the middle of the canonical frame"
DLIB_AVERAGE = (122.782, 117.001, 104.298)
"""dlib takes the average color of its training images off RGB 0..255 and divides by 256."""
IMAGENET_AVERAGE = (123.68, 116.779, 103.939)
"""FaceRes takes ImageNet's off."""


def _embedder(
    name: str,
    tag: str,
    width: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    resize: str,
    similarity: Similarity = "cosine",
) -> VictimInfo:
    return VictimInfo(
        id=name,
        arch=f"{name}.{tag}",
        classes=width,
        input_shape=FRAME,
        mean=mean,
        std=std,
        weights_sha256=ASSETS[name].sha256,
        task="verification",
        similarity=similarity,
        resize=resize,
        license=ASSETS[name].license,
        source=ASSETS[name].origin,
    )


INFOS = {
    info.id: info
    for info in (
        _embedder(
            "dlib-resnet",
            "v1",
            128,
            tuple(value / 255 for value in DLIB_AVERAGE),
            (256 / 255,) * 3,
            "cuts dlib's chip, 103.06x103.06 at (29.33, 44.42), out of the canonical frame and resizes it to 150x150",
            "l2",
        ),
        _embedder(
            "faceres",
            "fp16",
            1024,
            tuple(value / 255 for value in IMAGENET_AVERAGE),
            (1 / 255,) * 3,
            "cuts 112x112 at (24, 30) out of the canonical frame and resizes it to 224x224",
        ),
        _embedder(
            "mobileface",
            "v1",
            256,
            (0.5,) * 3,
            (128 / 255,) * 3,
            ARCFACE_CROP,
        ),
        _embedder("fr-feature", "v1", 512, (127 / 255,) * 3, (128 / 255,) * 3, ARCFACE_CROP),
    )
}
"""By registry name."""


def _identify(name: str, params: Params, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    return replace(INFOS[name], id=id)


class PrivateEmbedder(Params):
    """How the net is trained."""

    epochs: int = Field(40, ge=1, le=1000)
    """Times that it sees each photo, turned, moved, mirrored and lit otherwise each time; 40 of 120 photos take about half a minute
    on one core."""
    seed: int = Field(0, ge=0)
    """Of its first weights, and of what is done to photos: another seed makes another net."""

    def needs_fit(self) -> bool:
        """Always: it has no weights of its own."""
        return True


def identify_private(params: PrivateEmbedder, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    """Say what the net is: all but its weights."""
    return VictimInfo(
        id=id,
        arch="private-embedder.untrained",
        classes=128,
        input_shape=FRAME,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        weights_sha256="",
        task="verification",
        resize=ARCFACE_CROP,
        license="Apache-2.0",
        source="raygrid/victims/private_embedder.py",
    )


identify_dlib_resnet = partial(_identify, "dlib-resnet")
identify_faceres = partial(_identify, "faceres")
identify_mobileface = partial(_identify, "mobileface")
identify_fr_feature = partial(_identify, "fr-feature")


def _component(name: str, summary: str, module: str, source: str) -> Component:
    return Component(
        kind="victim",
        name=name,
        summary=summary,
        build=f"raygrid.victims.{module}:build",
        identify=f"{__name__}:identify_{name.replace('-', '_')}",
        source=source,
        license=INFOS[name].license,
    )


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="victim",
        name="private-embedder",
        summary="A small face embedder, trained on people of the data who are set apart for that (splits: {train: 120}).",
        build="raygrid.victims.private_embedder:build",
        identify=f"{__name__}:identify_private",
        fit="raygrid.victims.private_embedder:fit",
        params=PrivateEmbedder,
        source="raygrid/victims/private_embedder.py; loss of Wang et al., CVPR 2018 (CosFace)",
        license="Apache-2.0 (the net; what it learns from has its own terms)",
    ),
    _component(
        "dlib-resnet",
        "dlib's face embedder, a ResNet of 29 layers, 128 numbers by Euclidean distance, 5.6 M parameters.",
        "dlib_resnet",
        f"King, dlib 19.3 (2017); weights from {ASSETS['dlib-resnet'].origin}",
    ),
    _component(
        "faceres",
        "A MobileNet that describes faces in browsers, 1,024 numbers by the cosine, 3.2 M parameters.",
        "faceres",
        f"Savchenko, HSE_FaceRec_tf (2018); weights from {ASSETS['faceres'].origin}",
    ),
    _component(
        "mobileface",
        "A small face embedder, 256 numbers by the cosine, 0.5 M parameters.",
        "mobileface",
        f"becauseofAI, MobileFace (2018); weights from {ASSETS['mobileface'].origin} (an archive of 145 MB)",
    ),
    _component(
        "fr-feature",
        "A MobileFaceNet, 512 numbers by the cosine, 1.2 M parameters.",
        "mobilefacenet",
        f"Chen et al., CCBR 2018; weights of a vendor from {ASSETS['fr-feature'].origin} (an archive of 41 MB)",
    ),
)
