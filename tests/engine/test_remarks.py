"""Jobs that make sense, and may not be what was meant."""

import pytest
from small_jobs import load

from raygrid.engine.estimate import plan_report
from raygrid.engine.placement import HostWishes
from raygrid.engine.remarks import remarks

AIR = {"use": "over-the-air", "phrase": "go on", "steps": 1}
DATA = {"use": "music-carriers", "limit": 1, "seconds": 1.5}


def test_an_attack_that_rehearses_and_is_judged_as_a_file_is_told_of(tmp_path):
    job = load(tmp_path, data=DATA, victims=["hama"], attacks=[AIR, {**AIR, "steps": 2}])
    (remark,) = remarks(job)
    assert 'attack "over-the-air" rehearses in rooms or noise, and without a channel' in remark
    assert remark in [part for part in plan_report(job, {"CPU": 1}, HostWishes()) if isinstance(part, str)]


def test_nothing_is_said_of_what_is_meant(tmp_path):
    meant = (
        {**AIR, "channel": "room"},
        {**AIR, "rooms": 0, "noise": False},
        {"use": "imperceptible", "phrase": "go on"},
    )
    assert remarks(load(tmp_path, data=DATA, victims=["hama"], attacks=list(meant))) == []


@pytest.mark.parametrize(
    ("judge", "told"), [({"draws": 2}, True), ({"draws": 2, "broken_at": 1}, False), ({"draws": 3}, False), ({}, False)]
)
def test_few_draws_of_which_half_may_be_fooled_are_told_of(tmp_path, judge, told):
    found = remarks(load(tmp_path, defenses=[{"use": "noise", "sigma": 0.1}], judge=judge))
    assert len(found) == told
    assert all("judge: of 2 draws" in line and "say an odd number, or broken_at: 1" in line for line in found)
