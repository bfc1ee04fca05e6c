"""Victims whose weights come with raygrid or with a pinned package. Declarations only: imports no torch and no ray."""

from dataclasses import replace
from functools import partial

from raygrid.component import Component, Params
from raygrid.pins import ASSETS
from raygrid.victims.info import VictimInfo

IMAGENET_MEAN, IMAGENET_STD = (127 / 255,) * 3, (128 / 255,) * 3
"""EfficientNet-Lite was trained on (255 x - 127) / 128."""


def _efficientnet_lite(name: str, size: int) -> VictimInfo:
    return VictimInfo(
        id=name,
        arch=f"{name}.tf-imagenet",
        classes=1000,
        input_shape=(3, None, None),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        weights_sha256=ASSETS[name].sha256,
        resize=f"bilinear, antialiased, to {size}x{size}; untouched at that size",
        native=size,
        license=ASSETS[name].license,
        source=ASSETS[name].origin,
    )


def _mnist(name: str, tag: str, weights_sha256: str) -> VictimInfo:
    return VictimInfo(
        id=name,
        arch=f"mnist-cnn.{tag}",
        classes=10,
        input_shape=(1, 28, 28),
        mean=(0.0,),
        std=(1.0,),
        weights_sha256=weights_sha256,
        license="Apache-2.0",
        source="raygrid/victims/train_mnist.py",
    )


INFOS = {
    info.id: info
    for info in (
        _efficientnet_lite("efficientnet-lite0", 224),
        _efficientnet_lite("efficientnet-lite1", 240),
        _efficientnet_lite("efficientnet-lite2", 260),
        VictimInfo(
            id="cifar10-cnn",
            arch="cifar10-cnn.keras",
            classes=10,
            input_shape=(3, 32, 32),
            mean=(0.0,) * 3,
            std=(1 / 255,) * 3,  # it takes RGB 0..255
            weights_sha256=ASSETS["cifar10-cnn"].sha256,
            license=ASSETS["cifar10-cnn"].license,
            source=ASSETS["cifar10-cnn"].origin,
        ),
        VictimInfo(
            id="sign-cnn",
            arch="sign-cnn.views",
            classes=12,
            input_shape=(3, 32, 32),
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
            weights_sha256="1d22ef78ccdffac433c32fb84921db4e751b5bb3b94e8ccd64a4f62c50dea3b2",
            license="Apache-2.0",
            source="raygrid/victims/train_signs.py (synthetic signs)",
        ),
        _mnist("mnist-cnn", "plain", "b950f1a723348e0867ff282db377185437e6c4c1158b8af39307e933049a19cb"),
        _mnist("mnist-cnn-adv", "adversarial", "a4dc9d150afadc66d493d0386ebae84d03c543270321187d6e04c8c2cd8b2083"),
        _mnist("mnist-cnn-distilled", "distilled", "d2ac7665b2ce24155e7786bd55451b3070fe664655a52f04652271499dbe3403"),
    )
}
"""By registry name."""


def _identify(name: str, params: Params, id: str) -> VictimInfo:  # noqa: A002 - the signature of every victim
    return replace(INFOS[name], id=id)


identify_efficientnet_lite0 = partial(_identify, "efficientnet-lite0")
identify_efficientnet_lite1 = partial(_identify, "efficientnet-lite1")
identify_efficientnet_lite2 = partial(_identify, "efficientnet-lite2")
identify_cifar10_cnn = partial(_identify, "cifar10-cnn")
identify_mnist_cnn = partial(_identify, "mnist-cnn")
identify_mnist_cnn_adv = partial(_identify, "mnist-cnn-adv")
identify_mnist_cnn_distilled = partial(_identify, "mnist-cnn-distilled")
identify_sign_cnn = partial(_identify, "sign-cnn")


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
    *(
        _component(
            f"efficientnet-lite{n}",
            f"EfficientNet-Lite{n} on ImageNet, {size} pixels, {parameters} M parameters.",
            "efficientnet_lite",
            f"Google EfficientNet-Lite (2020), weights from {ASSETS[f'efficientnet-lite{n}'].origin}",
        )
        for n, size, parameters in ((0, 224, 4.7), (1, 240, 5.4), (2, 260, 6.1))
    ),
    _component(
        "cifar10-cnn",
        "A CNN of six convolutions on CIFAR-10, 32 pixels, 1.0 M parameters.",
        "cifar10_cnn",
        f"weights from {ASSETS['cifar10-cnn'].origin} (2023)",
    ),
    _component(
        "mnist-cnn",
        "A CNN of two convolutions on MNIST, plainly trained, 0.1 M parameters.",
        "mnist_cnn",
        "raygrid/victims/train_mnist.py",
    ),
    _component(
        "mnist-cnn-adv",
        "The CNN of mnist-cnn, trained on PGD examples (L-inf, eps 0.3).",
        "mnist_cnn",
        "raygrid/victims/train_mnist.py; Madry et al., ICLR 2018",
    ),
    _component(
        "mnist-cnn-distilled",
        "The CNN of mnist-cnn, defensively distilled at temperature 20: a negative control, which only looks robust.",
        "mnist_cnn",
        "raygrid/victims/train_mnist.py; Papernot et al., S&P 2016; broken by Carlini & Wagner, S&P 2017",
    ),
    _component(
        "sign-cnn",
        "A CNN of three convolutions on synthetic road signs seen through views, 32 pixels, 0.07 M parameters.",
        "sign_cnn",
        "raygrid/victims/train_signs.py (synthetic signs)",
    ),
)
