"""The view `detection`: false alarms, what is caught, and the accuracy that is left with it."""

from small_folder import Unit

from raygrid.metrics.statistics import wilson

CAUGHT = {"clean_detected": False, "detected": True}
MISSED = {"clean_detected": False, "detected": False}
FALSE = {"clean_detected": True, "detected": True}


def test_what_is_caught_and_what_raises_a_false_alarm(folder):
    folder.run(
        Unit("c.0", {"s1": "broken", "s2": "robust"}, trial=CAUGHT),
        Unit("c.1", {"s3": "broken", "s4": "robust", "s5": "clean_wrong"}, trial=MISSED),
        Unit("c.2", {"s6": "broken", "s7": "robust"}, trial=FALSE),
        Unit("c.3", {"s8": "error"}, planned=3),
    )
    (row,) = folder.rows("detection")
    assert (row["n"], row["planned"], row["clean_n"], row["false_alarms"]) == (8, 10, 7, 2)
    assert (row["broken"], row["broken_detected"], row["detection_rate"]) == (3, 2, 2 / 3)
    # s1 is caught, s2 and s4 hold; s6 and s7 raised a false alarm, s8 failed, and two are missing
    assert (row["robust_accuracy_with_detection_num"], row["robust_accuracy_with_detection_den"]) == (3, 10)
    assert row["robust_accuracy_with_detection"] == 0.3
    interval = (row["robust_accuracy_with_detection_low"], row["robust_accuracy_with_detection_high"])
    assert interval == wilson(3, 10)
    assert row["false_alarm_rate"] == 2 / 7


def test_cells_without_a_detector_are_not_in_it(folder):
    folder.run(Unit("c.0", {"s1": "broken"}), Unit("d.0", {"s1": "broken"}, trial=MISSED))
    assert [row["cell_id"] for row in folder.rows("detection")] == ["d"]
