"""What every defense makes of four digits, and at which version: outputs move only with a new version.

After a change that is meant: raise `version` of the component in raygrid/defenses/catalog_*.py, then run

    python tests/defenses/test_golden_defenses.py

which writes tests/golden/defenses.json anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the script

from defense_cases import DEFENSES, Case, ask, defended, draws
from models import digits

from raygrid.registry import find

FILE = Path(__file__).parents[1] / "golden" / "defenses.json"
TOLERANCE = {"jpeg": 0.2}
"""In logits up to some 20. Other versions of libjpeg may round a pixel otherwise, by a 255th."""


def outcome(case: Case) -> dict[str, Any]:
    """What a victim behind the defense answers to four digits, half of them in noise, and what alarms it raises."""
    x, _ = digits(4)
    x = (
        x + torch.tensor([0.0, 0.0, 0.5, 0.5]).view(4, 1, 1, 1) * torch.sin(torch.arange(784.0) ** 2).view(28, 28)
    ).clamp(0, 1)
    model, at = defended(case.name, **case.params), draws(["a", "b", "c", "d"])
    alarms = model.alarm(x, at)[:, 0].tolist() if model.alarm else []
    logits, soft = (
        [[round(value, 5) for value in row] for row in answers.tolist()]
        for answers in (ask(model, x, at), model.soft(x, at))
    )
    return {"version": find("defense", case.name).version, "logits": logits, "soft": soft, "alarms": alarms}


@pytest.mark.parametrize("case", DEFENSES, ids=str)
def test_outputs_move_only_with_a_new_version(case):
    golden = json.loads(FILE.read_text()).get(str(case))
    assert golden is not None, f"{case} has no golden outputs. Run python tests/defenses/{Path(__file__).name}"
    found = outcome(case)
    same = found["alarms"] == golden["alarms"] and all(
        torch.allclose(torch.tensor(found[key]), torch.tensor(golden[key]), rtol=0, atol=TOLERANCE.get(case.name, 1e-3))
        for key in ("logits", "soft")
    )
    assert same or found["version"] != golden["version"], f"{case} gives other outputs at the same version"
    assert found["version"] == golden["version"], f"{case} has a new version. Run this file as a script"


def test_the_golden_file_holds_no_others():
    assert json.loads(FILE.read_text()).keys() == {str(case) for case in DEFENSES}


if __name__ == "__main__":
    FILE.write_text(json.dumps({str(case): outcome(case) for case in DEFENSES}, indent=1) + "\n")
