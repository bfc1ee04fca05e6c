"""The pinned recordings of things that sound, each with the AudioSet class that its name is certain to mean; and the bank of
natural sounds. Collected in `raygrid/pins.py`.

Labels are the file names'. Left out are imitations by synthesizers (`elec_bell`), names that fit several classes (`grasshopper`,
`ghost`) and single strokes (`hammer`).
"""

from raygrid.data.pins_audio import MUSIC, SONIC_PI, Source, files

Labeled = tuple[str, int, str, str]
"""Path, bytes, sha256 and class."""

_STAMPS: tuple[Labeled, ...] = (
    ("animals/amphibians/frog.ogg", 11_349, "ddd57fa3d9880249a4b53b63f5c8eafb19b67111e3e1c4729bbbd4ad6b338acf", "Frog"),
    (
        "animals/birds/blackbird.ogg",
        36_574,
        "4d836ce784043f1ea54248bd5eadd3e2c06c41bd6fa1ff811888ec8cb470ca17",
        "Bird vocalization, bird call, bird song",
    ),
    ("animals/birds/crow.ogg", 11_954, "3773bd7079abe31883d6d6edfbb340cbdf2add2833616a9ac66c45baa754b7a5", "Crow"),
    (
        "animals/birds/cuckoo.ogg",
        9_230,
        "7c6a2c79ce136f4ba4a743503d319d43dc5f02fcc171b9fe032f4f70152e2121",
        "Bird vocalization, bird call, bird song",
    ),
    ("animals/birds/drake.ogg", 11_133, "6fce33e70bb3d45c3d7c0870a7fb07ae933081491e16aca1889c6735d5e11320", "Duck"),
    ("animals/birds/duck.ogg", 17_875, "d92e59a04bdf1e553f5bbcda106e04a487a7b31b0267dcbce9868e8c64cb54aa", "Duck"),
    ("animals/birds/gander.ogg", 7_817, "9254b59a4e69240592f05d901e5d7b6fc8c808676ed09198f596bc3728edbae2", "Goose"),
    (
        "animals/birds/hen.ogg",
        19_192,
        "faf0a2f9b31bda7d9de5e2118249c1fb172b3fbc7925ff7d339973826f579478",
        "Chicken, rooster",
    ),
    (
        "animals/birds/lark.ogg",
        10_135,
        "fa39bb4a7d75cedb59af2bad07c90bf149a9c477b0c00b6434821b568170a60d",
        "Bird vocalization, bird call, bird song",
    ),
    ("animals/birds/owl.ogg", 9_144, "7195a9ced5ae6edd8506623f43c9bc5347890fc988520a4775a37e48fa788b68", "Owl"),
    (
        "animals/birds/rooster.ogg",
        16_241,
        "7e1bcfc00332c0691c2e04b234cde14a5c6f53630a9157929b543fa9bbee4d27",
        "Chicken, rooster",
    ),
    (
        "animals/birds/seagull.ogg",
        19_859,
        "1011d7758e009ca2e6edba1a3a4f70bb35713f03f2e60c9570bcba043a7c25af",
        "Bird vocalization, bird call, bird song",
    ),
    ("animals/birds/turkey.ogg", 8_339, "b72881262a428fa6a175cf09a536f5ab92091b7be486307a82ea7bc69803db12", "Turkey"),
    (
        "animals/insects/bee.ogg",
        31_317,
        "b50df8a270ce9cfc937365c80969c78d7dd986222c69bbc707c50d485644914f",
        "Bee, wasp, etc.",
    ),
    (
        "animals/insects/hornet.ogg",
        12_862,
        "7e1881546048888990229c164c30404518403bbaab7d770a68b382d458570fc2",
        "Bee, wasp, etc.",
    ),
    (
        "animals/insects/mosquito.ogg",
        19_571,
        "6b7fef957dbddd3aa8c8f0b9a9680528befc62140db2c6d29961444fd3945788",
        "Mosquito",
    ),
    (
        "animals/mammals/aquatic/whale.ogg",
        23_171,
        "b682ef8d7a7532a818235da00887c1a90d7e55c247b0668a4b89ef2a7cd96365",
        "Whale vocalization",
    ),
    (
        "animals/mammals/bovines/bull.ogg",
        12_871,
        "86d2a9053675e7311cdf1dfe86e9696b9666c635dd9cc93b64486b766ffc21e9",
        "Cattle, bovinae",
    ),
    (
        "animals/mammals/bovines/cow.ogg",
        7_773,
        "a98652ab6f43f7dba9f009847c496c0943b00bc2d3d34c1d884482bb8ac40d72",
        "Cattle, bovinae",
    ),
    (
        "animals/mammals/bovines/cow_white.ogg",
        25_975,
        "ac0a7dc56e6abc7b17a45d8bea5644350516dd2b995f1da506849892aaf8650b",
        "Cattle, bovinae",
    ),
    (
        "animals/mammals/bovines/goat.ogg",
        6_855,
        "e31af4093d25f5a06caadaa6b17fef33e90226d20ccec5d07941fcc58b7d9d7f",
        "Goat",
    ),
    (
        "animals/mammals/bovines/sheep.ogg",
        18_659,
        "b88b4ff9afabd30fccc52c56fac0b9faefcb962c6fbd2dd130a1816e7a171554",
        "Sheep",
    ),
    (
        "animals/mammals/bovines/sheep_lamb.ogg",
        9_232,
        "f2783b4e39bc2b4c74a4c8f0316c350f4114797362e755bee6f8c7dc88dbded3",
        "Sheep",
    ),
    (
        "animals/mammals/cats/lion.ogg",
        11_903,
        "c0690bc5a5096aee2b45ea5316077306d14f74c31d3a2f8dd791c95bdcfee2b0",
        "Roaring cats (lions, tigers)",
    ),
    (
        "animals/mammals/cats/tiger.ogg",
        33_710,
        "e9f5593ecb5e7bd8c860f3699e846a9d1be670b6c5958a01cd77771668128415",
        "Roaring cats (lions, tigers)",
    ),
    ("animals/mammals/dogs/dog.ogg", 7_828, "610df5db4d298be353a609d1c5b7111e8f9fc42441fb8bfdd56ecfa74f515cc7", "Dog"),
    (
        "animals/mammals/equines/horse.ogg",
        13_354,
        "bc307c4a55e39d55f767d87ca960f17cd2ee302ceb5efab36b948fd220a4579b",
        "Horse",
    ),
    ("animals/mammals/pig.ogg", 6_347, "626f14bc45afadbc60342d4a8ad2de992a2a7fc369dd4f365d411dee4896dd06", "Pig"),
    (
        "animals/mammals/pig_golden.ogg",
        8_974,
        "f057e30313a5d7519618babac527166e23e3d931dd925d83df4ac43a589a0a5c",
        "Pig",
    ),
    (
        "animals/mammals/pig_golden2.ogg",
        8_881,
        "4d70e3687f0ddfc8a41aabe934465bc661fb4de05c9333531eea079a7d59ea1e",
        "Pig",
    ),
    (
        "animals/mammals/rodents/mouse.ogg",
        10_669,
        "b10c4f107f605837d575d4172426b8e82f862331f9fae06687acf2171fbccc68",
        "Mouse",
    ),
    ("hobbies/camera_35mm.ogg", 4_631, "6097b0ba4f263a5ce5447af8592aa3f1d46a426ed88d3c919d567bf16c4faac6", "Camera"),
    (
        "hobbies/music/percussion/cymbal_crash.ogg",
        31_646,
        "e7496a6734cfde9a03ae29349fe0bb44ad7ad741e25cdcc408bb4ff329668c4b",
        "Cymbal",
    ),
    (
        "hobbies/music/percussion/drum_tomtom_floor.ogg",
        28_188,
        "5a27ef40c47410ac18e71cfed98eee2b89b4151592bbb51d8aa782ee2a3fd040",
        "Drum",
    ),
    (
        "hobbies/music/percussion/drumkit.ogg",
        43_517,
        "5d11349616c0116027461a0240bcfc87b1209699d012cbd7c91eb1caef33dcae",
        "Drum kit",
    ),
    (
        "hobbies/music/string/cello.ogg",
        41_462,
        "aa9d9a65829c38dbe7a2375b47ae1b8a42975b483e5e369d8afdadc5a2834e10",
        "Cello",
    ),
    (
        "hobbies/music/string/violin.ogg",
        42_928,
        "ec3abefeebeb81d90901aabf2be6aa7163e7f10c6c83c088edeb21e3277fcac8",
        "Violin, fiddle",
    ),
    (
        "household/arttools/scissors_small_closed.ogg",
        6_023,
        "e98528a417827172954719f2060824a4a30e6a579bf7fa3cb1590554e02f1cab",
        "Scissors",
    ),
    (
        "household/arttools/scissors_small_open.ogg",
        7_045,
        "f81bd3fd20eb5c01fc1d3c461c19ab213d87993c43acd9ff91e20a33bc2bcb40",
        "Scissors",
    ),
    ("household/dishes/glass.ogg", 21_071, "ea9c076888eda957b62911797c23cf4706a43a4497d285eabb14b396aa089868", "Glass"),
    ("household/toilet.ogg", 9_390, "b4f83d103a1b45dd0f0d4ff866fef98ecf74f0d2721a6ca8f27df11f0a5be78d", "Toilet flush"),
    ("household/tools/saw.ogg", 6_344, "9ed3000dfdebcc66ff66800bb1e681e6a2aecfb3af75999a330997892391c47a", "Sawing"),
    (
        "household/vacuum_cleaner.ogg",
        13_040,
        "c21cb0ff5c2f9ccf1193b709e18680c9eabb36ae8c3d689440320fd3ad916e81",
        "Vacuum cleaner",
    ),
    (
        "military/final-roll-call.ogg",
        29_521,
        "4a105cc10f2a3c1716af2f165219e9c58109393503d43164bbf3c88585a3fb38",
        "Trumpet",
    ),
    (
        "naturalforces/lightningbolt.ogg",
        21_632,
        "a7df71be40ec684588924de6fed114a9e7e751f36e011c7fb9b338acfd80e9d2",
        "Thunder",
    ),
    (
        "seasonal/halloween/blackcat.ogg",
        7_998,
        "bba8cd466c349d52fa134c0d800d5a4a5b7270b65f28b1139d9eaa71c6aaedfe",
        "Cat",
    ),
    (
        "seasonal/newyears/fireworks.ogg",
        6_779,
        "14edbe74cbc567b6ce4243ac0946e90402625b8be543ccd209c567a89c3d88e1",
        "Fireworks",
    ),
)
_DESKTOP: tuple[Labeled, ...] = (
    (
        "alarm-clock-elapsed.oga",
        73_696,
        "c28b4e0463eb3f19a3352049991c919cf8755e3f301f56a6276f5a81df472595",
        "Alarm clock",
    ),
    (
        "audio-channel-front-center.oga",
        17_015,
        "986708048bb5ed244f2243150781a222a5c20c0e5954576a7c65ae5559c0b8cf",
        "Speech",
    ),
    (
        "audio-channel-rear-left.oga",
        14_129,
        "09fe3c6db1c21c47c3f0dc3a40f689874edc0d50f05ba254f0d34da6af65705b",
        "Speech",
    ),
    (
        "audio-channel-side-right.oga",
        17_198,
        "6c51a7d9478fa7f90f63c7caec51e6135ae306598bf10387f137c92d3d3830f1",
        "Speech",
    ),
    ("camera-shutter.oga", 23_142, "72dbfcb2e4f25f9ff4855358127d8268dcecf8f133ac01509502be4b1746933f", "Camera"),
    (
        "phone-incoming-call.oga",
        25_889,
        "23957c68c49a23c056bbaa75b17cb56acfcab190f493c8f9b95781e6251b6e7a",
        "Telephone bell ringing",
    ),
    (
        "phone-outgoing-busy.oga",
        7_996,
        "56032f3fc6f1f0795f2fb2b93c835e9932b583d11c177c9b5ece43d0fe245ddc",
        "Busy signal",
    ),
    (
        "phone-outgoing-calling.oga",
        4_792,
        "a764d3dccd9527b4296660e34dd57d5fbb5938b774fb324263e812b7cb392f68",
        "Telephone",
    ),
)
_SAMPLES: tuple[Labeled, ...] = (
    ("ambi_choir.flac", 102_586, "2633a5df4280fe49c58d5ced8633325d049ee03bb4b7512310cb2356d2ab1319", "Choir"),
    ("ambi_piano.flac", 141_470, "e6cd0efe8bd02f67beb76e2a930c9ff70c27712fa8829f03c2ae71362f88fe77", "Piano"),
    ("drum_bass_hard.flac", 33_950, "ed3ac2187d679ca1c3fec533ea1c3576c840c81ba98b8d967eb12a8f27471bc1", "Bass drum"),
    ("drum_cowbell.flac", 18_281, "e2ee5f732b675858491e95a06ea419b98af512ebdc154afb2c27066303f0dd7f", "Cowbell"),
    ("drum_cymbal_hard.flac", 91_910, "be18750e383d09d2c3776b98551db5f736a2bf420666788e2900b2b8bf7e530a", "Cymbal"),
    ("drum_cymbal_open.flac", 119_223, "3a9cf6aacab05003fe3edaa9a9150841e080ecd3b7e6383571bc3570c23c7118", "Cymbal"),
    ("drum_roll.flac", 327_110, "c83acd81dd2dcb6072678512a0fd4121b9aa23273d155cf6d6b24c0ef2513f0b", "Drum roll"),
    ("drum_snare_hard.flac", 29_657, "1b2325523ed2a93da49df338ef861b4c35bfcbdc2e5e726ce1e873201883ffe4", "Snare drum"),
    ("drum_tom_hi_hard.flac", 34_839, "18d53d2dac65d1cd2b0b1f23eaa68e6233beb6e84d4352191cc6e6ea5200295c", "Drum"),
    (
        "guit_e_fifths.flac",
        322_437,
        "b609553b02becbada9ec00a6a13e88bbde6b7ce29098063f4b3f27209ff13f79",
        "Electric guitar",
    ),
    (
        "guit_e_slide.flac",
        146_215,
        "80626ddea79461012cabafe4ca5e70ce0bdb00a42e6601730b1ff76ab84c13ea",
        "Electric guitar",
    ),
    ("guit_em9.flac", 501_165, "e6dbbdc5aef03fada9cbd84d9ef000472c6954db9badcf5721969c515d46c2f1", "Guitar"),
    ("guit_harmonics.flac", 93_072, "197dc69798e07641f2003f394645155e4077d1d75fa6eb44a66f3a00b07e73ee", "Guitar"),
    ("loop_amen.flac", 210_769, "96d3c6ea1fdadce5db26290275d4b34add11e8503a18fb6f405b8897d06ba50d", "Drum kit"),
    ("loop_amen_full.flac", 532_669, "87ba57c489244e10436c0ea2f500625c95e58fbedb6e38db2639ed72eb1da1b7", "Drum kit"),
    ("loop_breakbeat.flac", 193_076, "2fe274ef02a4c052f3051ee79a60f2cedd8b03cbcabbe4903f7684a8a5a8aca3", "Drum kit"),
    ("loop_tabla.flac", 500_012, "7dbb7d6e216aece300700453c9734ecd6f56ec75dd56a5365c6a12194ed3ebab", "Tabla"),
    (
        "misc_burp.flac",
        68_471,
        "add6f9e212899d71c92f3e72dacdad006db6d37fb30e6a8b3cd5b8b4ae2c149b",
        "Burping, eructation",
    ),
    ("misc_crow.flac", 16_520, "007e6ce77f6f187c76e1255702fdf5852f60a0edc1307e177d3219343abf7a28", "Crow"),
    ("perc_bell.flac", 330_754, "7d88fccc70acaeec1800976f57dc46e7fb80fd66668d3220c4961a11c8d30f9b", "Bell"),
    ("perc_bell2.flac", 378_136, "2e8757cd85ea898e59bb7a959e60eb50c50bee252c9e7a12d47bc9ff34ed69be", "Bell"),
    ("perc_door.flac", 120_615, "923c36d45cd67a053976602163020b32fc499f3c126c66bca790b9aa2d9e7003", "Door"),
    ("perc_till.flac", 96_203, "c6a97c7fb370725c1a0afb6378540aa1205d0b928723f7e92bd5ba3ab3859dc9", "Cash register"),
    (
        "vinyl_scratch.flac",
        15_944,
        "2dc0fedcfeaa308889d065f6911da95f42cc24f0806ff823cd006a045dbe490b",
        "Scratching (performance technique)",
    ),
)
_BIRDS = (
    ("animals/birds/blackbird.ogg", 36_574, "4d836ce784043f1ea54248bd5eadd3e2c06c41bd6fa1ff811888ec8cb470ca17"),
    ("animals/birds/lark.ogg", 10_135, "fa39bb4a7d75cedb59af2bad07c90bf149a9c477b0c00b6434821b568170a60d"),
    ("animals/birds/cuckoo.ogg", 9_230, "7c6a2c79ce136f4ba4a743503d319d43dc5f02fcc171b9fe032f4f70152e2121"),
    ("animals/birds/seagull.ogg", 19_859, "1011d7758e009ca2e6edba1a3a4f70bb35713f03f2e60c9570bcba043a7c25af"),
    ("animals/birds/quetzal.ogg", 7_355, "ffa54d80eb3e4dea78f48ea5872e179c73cfbcfee423fbdc1be106eb3b82a065"),
    ("animals/birds/tucan.ogg", 18_940, "91170df18cc78cfffab9c0e829b13bbd146af863a5b65a79aa9999cfae787d45"),
    ("animals/birds/owl.ogg", 9_144, "7195a9ced5ae6edd8506623f43c9bc5347890fc988520a4775a37e48fa788b68"),
    ("animals/birds/rooster.ogg", 16_241, "7e1bcfc00332c0691c2e04b234cde14a5c6f53630a9157929b543fa9bbee4d27"),
)
_EVERYDAY = (
    ("perc_bell.flac", 330_754, "7d88fccc70acaeec1800976f57dc46e7fb80fd66668d3220c4961a11c8d30f9b"),
    ("perc_door.flac", 120_615, "923c36d45cd67a053976602163020b32fc499f3c126c66bca790b9aa2d9e7003"),
    ("perc_impact1.flac", 84_460, "1230a921b19465aae8dbbe64f59baa6396da7322928bd2bedba69073428d2b9e"),
    ("perc_snap.flac", 22_089, "09d5cc75cd9ef183e9464801c7e7b2e441ca8e12f99b2610cbc2d5168297a19d"),
    ("perc_swash.flac", 56_001, "c2d125db98ff2d79f3a89a08a24b6618dc1f0410c2cc717e8cc83ebc6956dcca"),
    ("perc_till.flac", 96_203, "c6a97c7fb370725c1a0afb6378540aa1205d0b928723f7e92bd5ba3ab3859dc9"),
    ("misc_crow.flac", 16_520, "007e6ce77f6f187c76e1255702fdf5852f60a0edc1307e177d3219343abf7a28"),
    ("drum_cowbell.flac", 18_281, "e2ee5f732b675858491e95a06ea419b98af512ebdc154afb2c27066303f0dd7f"),
)

TUXPAINT: Source = ("debian", "tuxpaint-stamps-default", "2022.06.04-1", "usr/share/tuxpaint/stamps")
FREEDESKTOP: Source = ("debian", "sound-theme-freedesktop", "0.8-2", "usr/share/sounds/freedesktop/stereo")
_PARTS = (
    (TUXPAINT, _STAMPS, "GPL-2"),
    (FREEDESKTOP, _DESKTOP, "GPL-2+, CC-BY-SA-3.0"),
    (SONIC_PI, _SAMPLES, "CC0-1.0"),
)
NAMED = tuple(asset for source, some, terms in _PARTS for asset in files(source, [row[:3] for row in some], terms))
"""79 recordings."""
MEANT = {f"{source[1]}/{row[0]}": row[3] for source, some, _ in _PARTS for row in some}
"""Asset -> the AudioSet class of its sound."""
BIRDS = files(TUXPAINT, _BIRDS, "GPL-2")
EVERYDAY = files(SONIC_PI, _EVERYDAY, "CC0-1.0")
_KNOWN = {asset.name for asset in MUSIC}
PINS = tuple({asset.name: asset for asset in (*NAMED, *BIRDS, *EVERYDAY) if asset.name not in _KNOWN}.values())
