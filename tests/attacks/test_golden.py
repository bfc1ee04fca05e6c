"""What every attack made of eight inputs of a fixed network, and at which version: outputs move only with a new version.

After a change that is meant: raise `version` of the component in raygrid/attacks/catalog_*.py, then run

    python tests/attacks/test_golden.py

which writes tests/golden/attacks.json anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the script

from cases import ATTACKS, Case, batch_of, run, statuses
from models import Tiny

from raygrid.registry import find

FILE = Path(__file__).parents[1] / "golden" / "attacks.json"
EPS = {"linf": 0.08, "l2": 0.3, "l1": 0.7, "l0": 6.0}
TOLERANCE = 1e-4
SCRIPT = "python tests/attacks/test_golden.py"
HOW = f"Raise its version in raygrid/attacks/catalog_*.py, if the change is meant, and run {SCRIPT}"


def inputs() -> tuple[Tensor, Tensor]:
    """Eight inputs by a formula, some of their values at 0 and 1, labelled by the network but for one."""
    x = (0.5 + 0.6 * torch.sin(torch.arange(288, dtype=torch.float64).square() / 7)).clamp(0, 1)
    x = x.float().view(8, 1, 6, 6)
    y = Tiny()(x).argmax(1)
    y[3] = (y[3] + 1) % 3
    return x, y


def outcome(case: Case) -> dict[str, Any]:
    """What an attack makes of the inputs."""
    x, y = inputs()
    made, verdicts = run(Tiny(), batch_of(x, y, 3), case.spec(EPS[case.norm], **case.few))
    delta = (made.x_adv - x).flatten(1)
    return {
        "version": find("attack", case.name).version,
        "statuses": statuses(verdicts),
        "forwards": made.forwards,
        "margins": [round(v.margin, 6) for v in verdicts],
        "linf": [round(v.linf, 6) for v in verdicts],
        "l2": [round(v.l2, 6) for v in verdicts],
        "signed": [round(value, 6) for value in (delta @ torch.cos(torch.arange(36.0))).tolist()],
    }


def flat(values: dict[str, Any]) -> list[float]:
    return [value for name in ("margins", "linf", "l2", "signed") for value in values[name]]


@pytest.mark.parametrize("case", ATTACKS, ids=str)
def test_outputs_move_only_with_a_new_version(case):
    golden = json.loads(FILE.read_text()).get(str(case))
    assert golden is not None, f"{case} has no golden outputs. Run python tests/attacks/{Path(__file__).name}"
    found = outcome(case)
    same = all(found[key] == golden[key] for key in ("statuses", "forwards"))
    same = same and flat(found) == pytest.approx(flat(golden), abs=TOLERANCE)
    assert same or found["version"] != golden["version"], f"{case} gives other outputs at the same version. {HOW}"
    assert found["version"] == golden["version"], (
        f"{case} has a new version. Run python tests/attacks/{Path(__file__).name}"
    )


def test_the_golden_inputs_tell_attacks_apart():
    """A golden file of all robust or all broken samples would hold nothing."""
    golden = json.loads(FILE.read_text())
    assert {status for outcome_ in golden.values() for status in outcome_["statuses"]} == {
        "robust",
        "broken",
        "clean_wrong",
    }
    assert set(golden) == {str(case) for case in ATTACKS}


if __name__ == "__main__":
    lines = [f'"{case}": {json.dumps(outcome(case))}' for case in ATTACKS]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
