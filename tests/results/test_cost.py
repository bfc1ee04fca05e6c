"""The view `defense_cost`: seconds of an answer behind each defense, beside clean and robust accuracy."""

import pytest
from small_folder import Unit

NOISE = {"defense": "noise", "defense_params": '{"sigma": 0.5}'}


def timed(seconds, draws=1, **columns):
    return {"seconds": seconds, "draws": draws, "device": "cpu", **columns}


def test_an_answer_is_a_sample_a_draw_and_a_copy_and_stands_beside_accuracy(folder):
    folder.run(
        Unit("bare.0", {"s1": "broken", "s2": "broken", "s3": "clean_wrong"}, trial=timed(0.5)),
        Unit("noise.0", {"s1": "robust"}, cell=NOISE, trial=timed(10.0, draws=20)),
        Unit("noise.1", {"s2": "broken"}, cell=NOISE, trial=timed(30.0, draws=20)),
        Unit("noise.2", {"s3": "clean_wrong"}, cell=NOISE, trial=timed(20.0, draws=20)),
    )
    bare, noise = folder.rows("defense_cost")
    assert (bare["defense"], bare["trials"], bare["draws"]) == ("none", 3, 1)
    assert (bare["seconds_per_answer"], bare["ratio"]) == (0.25, 1.0)
    assert (noise["defense"], noise["trials"], noise["draws"]) == ("noise", 3, 20)
    assert (noise["seconds_per_answer"], noise["bare_seconds_per_answer"], noise["ratio"]) == (0.5, 0.25, 2.0)
    assert (bare["robust_accuracy"], noise["robust_accuracy"]) == (0.0, pytest.approx(1 / 3))
    assert bare["clean_accuracy"] == noise["clean_accuracy"] == pytest.approx(2 / 3)
    assert noise["robust_accuracy_low"] < 1 / 3 < noise["robust_accuracy_high"]


def test_the_robust_accuracy_is_that_of_the_worst_attack(folder):
    folder.run(
        Unit("pgd.0", {"s1": "robust", "s2": "broken"}, trial=timed(1.0)),
        Unit("square.0", {"s1": "broken", "s2": "robust"}, cell={"attack": "square"}, trial=timed(3.0)),
    )
    (row,) = folder.rows("defense_cost")
    assert (row["attacks"], row["robust_accuracy_num"], row["robust_accuracy_den"]) == (2, 0, 2)
    assert (row["trials"], row["seconds_per_answer"]) == (4, 1.0)


def test_each_radius_has_its_line_and_the_same_cost(folder):
    folder.run(
        Unit("a.0", {"s1": "robust"}, trial=timed(1.0)),
        Unit("b.0", {"s1": "broken"}, cell={"eps": 1.0}, trial=timed(2.0)),
    )
    found = [(row["eps"], row["robust_accuracy"], row["seconds_per_answer"]) for row in folder.rows("defense_cost")]
    assert found == [(0.5, 1.0, 0.75), (1.0, 0.0, 0.75)]


def test_devices_are_not_compared_and_failures_cost_nothing(folder):
    folder.run(
        Unit("bare.0", {"s1": "broken", "s2": "error"}, trial=timed(1.0)),
        Unit("noise.0", {"s1": "robust"}, cell=NOISE, trial=timed(4.0, device="cuda")),
        Unit("noise.1", {"s2": "error"}, cell=NOISE, trial=timed(None, draws=None)),
    )
    bare, noise = folder.rows("defense_cost")
    assert (bare["trials"], bare["ratio"]) == (1, 1.0)
    assert (noise["device"], noise["bare_seconds_per_answer"], noise["ratio"]) == ("cuda", None, None)
    assert bare["robust_accuracy"] is None and bare["robust_accuracy_worst"] == 0


def test_a_defense_without_its_bare_victim_or_an_untargeted_attack_has_a_cost_all_the_same(folder):
    folder.run(Unit("noise.0", {"s1": "broken"}, cell=NOISE | {"goal": "targeted"}, trial=timed(4.0)))
    (row,) = folder.rows("defense_cost")
    assert (row["seconds_per_answer"], row["ratio"], row["goal"], row["robust_accuracy"]) == (2.0, None, None, None)
