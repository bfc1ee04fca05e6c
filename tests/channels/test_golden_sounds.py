"""What every channel of sound makes of two waveforms, and at which version: outputs move only with a new version.

After a change that is meant: raise `version` of the component in raygrid/channels/catalog_audio.py, then run

    python tests/channels/test_golden_sounds.py

which writes tests/golden/sounds.json anew. What is recorded has to be fetched, and is not here.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for the script

from sounds import SMALL, streams, waves

from raygrid.channels.catalog_audio import Band, Clip, Codec, Gain, Noise, Offset, Resample
from raygrid.channels.room_bank import kept_bank
from raygrid.component import Params, resolve
from raygrid.registry import find

FILE = Path(__file__).parents[1] / "golden" / "sounds.json"
T, EVERY = 6000, 397
CASES: dict[str, tuple[str, Params]] = {
    "room": ("room", SMALL),
    "room at other positions, without its peak": (
        "room",
        SMALL.model_copy(update={"judged": "positions", "peak": False}),
    ),
    "white noise, and pink to judge": ("noise", Noise(judged="pink", spread=5)),
    "noise of a level": ("noise", Noise(kind="pink", level=-30)),
    "band": ("band", Band(low=300, high=3400, spread=0.1)),
    "band without slopes": ("band", Band(low=1000, high=4000, shape="mask")),
    "resample": ("resample", Resample()),
    "codec": ("codec", Codec()),
    "gain": ("gain", Gain()),
    "clip": ("clip", Clip(level=0.1)),
    "offset": ("offset", Offset()),
}


def outcome(case: str) -> dict[str, Any]:
    """Some of the values that are heard while crafting and while judging."""
    name, params = CASES[case]
    component = find("channel", name)
    x = waves(2, T)
    heard = {
        purpose: [
            [round(value, 5) for value in row[::EVERY].tolist()]
            for row in resolve(component.build)(params, x, streams(2), purpose, torch.arange(2))
        ]
        for purpose in ("craft/3/0", "judge/5")
    }
    return {"version": component.version, **heard}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
        kept_bank.cache_clear()
        yield
        kept_bank.cache_clear()


@pytest.mark.parametrize("case", CASES)
def test_outputs_move_only_with_a_new_version(case):
    golden = json.loads(FILE.read_text()).get(case)
    assert golden is not None, f"{case} has no golden outputs. Run python tests/channels/{Path(__file__).name}"
    found = outcome(case)
    same = all(
        torch.allclose(torch.tensor(found[key]), torch.tensor(golden[key]), rtol=0, atol=1e-4)
        for key in golden
        if key != "version"
    )
    assert same or found["version"] != golden["version"], f"{case} gives other outputs at the same version"
    assert found["version"] == golden["version"], f"{case} has a new version. Run this file as a script"


def test_the_golden_file_holds_no_others():
    assert json.loads(FILE.read_text()).keys() == CASES.keys()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAYGRID_CACHE"] = folder
        FILE.write_text(json.dumps({case: outcome(case) for case in CASES}, indent=1) + "\n")
