"""The pinned recordings of the built-in datasets that are heard. Collected in `raygrid/pins.py`."""

from collections.abc import Iterable

from raygrid.assets import Asset, Registry

Source = tuple[Registry, str, str, str]
"""Registry, package, version, and a folder of it."""


def files(source: Source, files: Iterable[tuple[str, int, str]], terms: str) -> tuple[Asset, ...]:
    """Pin files (path, bytes, sha256) below a folder of a package of a version; their assets are called `package/path`."""
    registry, package, version, folder = source
    return tuple(
        Asset(f"{package}/{path}", registry, package, version, f"{folder}/{path}", sha256, size, terms)
        for path, size, sha256 in files
    )


_SPEECH = (
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0870.wav",
        227_244,
        "b0557cf95c974d930577e58e46b7f068c432a6e3afcc286563d88922b2a5315c",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0880.wav",
        95_724,
        "fbec491ef00ee734a67f0ee318e98c51c157b479e1629ff4f4426861ecac0414",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0890.wav",
        169_644,
        "5793ffbdee55fb8bfd284943a6866864c832d9d4accf2661cabd39915c84ee10",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0920.wav",
        193_644,
        "40882414ef4cc51f3ff7a63bad0c8c87e7f595ffeb8209fbf756c8ebc5c28a59",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0930.wav",
        105_324,
        "954adbf0b56ac8a148cbe77b39ca18d76b5f2a1e1f405565bd786ce3e68a68b7",
    ),
    ("cards/001.wav", 35_096, "899951e768666f27c8f8b1d4090b96fe7909cae9cec01bec0a5d5d1b8a8d566e"),
    ("cards/002.wav", 62_772, "a3f9eae6fdb69a1231989e39a14d62388a6f52fb59666c76d95005318fadafec"),
    ("cards/003.wav", 49_266, "00d283e46bc257ae479e4aa86593cadb541656eba1d19fc8abeece37f6a5a18b"),
    ("cards/004.wav", 49_772, "4c44a8177f5b128b99f078cdeb918119933155574231f1833e8840d1af09c521"),
    ("cards/005.wav", 112_124, "090f18f5f76cf8b2b43cd9e6b07823f4685a4742d9a36cd98b174a6586c18cf9"),
)
_TRANSCRIPTS = (
    ("librivox/transcription", 634, "4cc29e04a6dcd29242893b3ee20470e50b6ace45f4387bb619e5218145c66f99"),
    ("cards/cards.transcription", 184, "5f11ecf64b8c45e4596d128293c66e695844854ad03cc79ffabde72dea1eba05"),
)
_MUSIC = (
    ("guit_em9.flac", 501_165, "e6dbbdc5aef03fada9cbd84d9ef000472c6954db9badcf5721969c515d46c2f1"),
    ("guit_e_fifths.flac", 322_437, "b609553b02becbada9ec00a6a13e88bbde6b7ce29098063f4b3f27209ff13f79"),
    ("loop_garzul.flac", 765_439, "bc04e06c84a4b6535b8f7bdb51c5b09afe5350421bf16660454e6d370d9ab849"),
    ("loop_mika.flac", 476_594, "c31a49960402aa63920882a0edcfbb39296547ae602966bcb34ad870dfbb73fa"),
    ("guit_e_slide.flac", 146_215, "80626ddea79461012cabafe4ca5e70ce0bdb00a42e6601730b1ff76ab84c13ea"),
    ("loop_compus.flac", 412_454, "76d2156582500c496a5c168ab2a1ddd7f3df9534ca476eb760375c30f709ed1d"),
    ("loop_safari.flac", 576_704, "4e952f7548c42b70c6a80c87d93b4f5bad0068020d7b5b28998558a9857687c4"),
    ("loop_tabla.flac", 500_012, "7dbb7d6e216aece300700453c9734ecd6f56ec75dd56a5365c6a12194ed3ebab"),
    ("loop_drone_g_97.flac", 536_407, "edbc99f9b55a68776de24c0ec71045b63679569ab94206e01d30d7d812b628f9"),
    ("loop_amen_full.flac", 532_669, "87ba57c489244e10436c0ea2f500625c95e58fbedb6e38db2639ed72eb1da1b7"),
    ("loop_weirdo.flac", 424_400, "dcd4d3a0a09c2af80e0b57b1077654eb7a29c2b37cb586b27f5b3b1be64706c0"),
    ("ambi_glass_hum.flac", 453_621, "151e5c4ff594fd176df15de210ba89a1805cfeadf7a050f8b6be2076abb12eca"),
)
_MOONSHINE = (
    ("beckett.wav", 318_978, "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61"),
    ("two_cities.wav", 4_260_326, "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e"),
)

_ASTERISK = (
    ("hello.wav", 12_626, "d7c8a5d45aaf667fd2e71b26b3bc6658f7c602906366199a1c79253c55fc1c91"),
    ("hello-world.wav", 22_512, "825062c567f19c4665b6ba04901e17de5d0c92731ea2ac0c4c37e62af134a78a"),
)

_ALLISON: Source = ("debian", "asterisk-core-sounds-en-wav", "1.6.1-1", "usr/share/asterisk/sounds/en_US_f_Allison")
_POCKETSPHINX: Source = ("debian", "pocketsphinx-testdata", "0.8+5prealpha+1-15", "usr/share/pocketsphinx/test/data")
SONIC_PI: Source = ("debian", "sonic-pi-samples", "3.2.2~repack-8", "usr/share/sonic-pi/samples")

SPEECH = files(_POCKETSPHINX, _SPEECH, "BSD-2-Clause")
"""10 utterances."""
TRANSCRIPTS = files(_POCKETSPHINX, _TRANSCRIPTS, "BSD-2-Clause")
"""What is said in them."""
MUSIC = files(SONIC_PI, _MUSIC, "CC0-1.0")
"""12 pieces of more than 3 s."""
MOONSHINE = files(("pypi", "moonshine-voice", "0.0.4", "moonshine_voice/assets"), _MOONSHINE, "MIT")
"""Two read recordings."""
PROMPTS = files(_ALLISON, _ASTERISK, "CC-BY-SA-3.0")
"""Two announcements of a telephone exchange, at 8 kHz."""

PINS = (*SPEECH, *TRANSCRIPTS, *MUSIC, *MOONSHINE, *PROMPTS)
