"""Votes over scales, crops and mirror images, and squeezed pictures: what is shown and decided, and when the alarm is raised."""

import pytest
import torch
from attacking import attacked, gray, share, undetected
from defense_cases import defended, draws, in_color
from models import digits, pixels, victim
from torch.nn.functional import interpolate

from raygrid.defenses.catalog_views import MultiScale
from raygrid.defenses.multi_scale import views
from raygrid.outputs import run_model
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

IDS = [f"digit-{i}" for i in range(40)]


def shown(x, **params):
    return list(views(x, MultiScale(**params)))


def test_every_scale_place_and_mirror_image_is_a_view():
    x = pixels(2, 1, 8, 8)
    assert len(shown(x)) == 3
    assert len(shown(x, flips=True)) == 6
    assert len(shown(x, scales=[1.0], crops="corners")) == 1  # a picture of its own size has one place
    assert len(shown(x, scales=[0.5, 1.0, 1.5], crops="corners", flips=True)) == 22
    assert all(view.shape == x.shape for view in shown(x, scales=[0.3, 0.77, 1.0, 1.9], crops="corners"))


def test_what_is_too_large_is_cropped_and_what_is_too_small_stands_on_black():
    x = gray([[0.1, 0.2], [0.3, 0.4]])
    double = interpolate(x, (4, 4), mode="bilinear")
    middle, upper_left, upper_right, lower_left, lower_right = shown(x, scales=[2.0], crops="corners")
    assert torch.equal(middle, double[:, :, 1:3, 1:3])
    assert torch.equal(upper_left, double[:, :, :2, :2]) and torch.equal(upper_right, double[:, :, :2, 2:])
    assert torch.equal(lower_left, double[:, :, 2:, :2]) and torch.equal(lower_right, double[:, :, 2:, 2:])
    _, upper_left, *_, lower_right = shown(x, scales=[0.5], crops="corners")
    assert torch.allclose(upper_left, gray([[0.25, 0.0], [0.0, 0.0]]))
    assert torch.allclose(lower_right, gray([[0.0, 0.0], [0.0, 0.25]]))


def test_mirrored_views_are_mirrored():
    x = pixels(1, 1, 4, 4)
    plain, mirrored = shown(x, scales=[1.0], flips=True)
    assert torch.equal(plain, x) and torch.equal(mirrored, x.flip(3))


def test_the_vote_is_that_of_the_views():
    x, _ = digits(40)
    each = torch.stack([victim("mnist-cnn")(view) for view in shown(x, scales=[0.5, 0.7, 1.0, 1.4, 1.8])], 1)
    params = {"scales": [0.5, 0.7, 1.0, 1.4, 1.8]}
    mean = defended("multi-scale", vote="mean", **params)(x)
    assert torch.allclose(mean.exp(), each.softmax(2).mean(1), atol=1e-5)
    votes = torch.nn.functional.one_hot(each.argmax(2), 10).sum(1)
    assert (votes.amax(1) < 5).any()  # there is something to vote on
    majority = defended("multi-scale", vote="majority", **params)(x)
    assert torch.allclose(majority.exp() * 6 - 0.1, votes.float(), atol=1e-4)
    assert torch.equal(majority.argmax(1), votes.argmax(1))


def test_the_alarm_is_raised_where_more_of_the_views_disagree_than_allowed():
    x, _ = digits(40)
    scales = [0.5, 0.7, 1.0, 1.4, 1.8]
    each = torch.stack([victim("mnist-cnn")(view) for view in shown(x, scales=scales)], 1).argmax(2)
    for most in (0.0, 0.2):
        model = defended("multi-scale", scales=scales, vote="majority", alarm_above=most)
        against = (each != model(x).argmax(1)[:, None]).float().mean(1)
        wanted = against > most + 1e-6
        assert torch.equal(model.alarm(x)[:, 0] > 0, wanted)
        assert 0 < wanted.sum() < 40


def test_a_vote_without_a_limit_raises_no_alarm():
    assert defended("multi-scale").alarm is None
    assert defended("noise", sigma=0.1).alarm is None


def test_the_distance_is_the_largest_of_the_squeezed_pictures():
    x, _ = digits(40)
    bare = victim("mnist-cnn")
    model = defended("feature-squeezing", threshold=0.1, bits=1, median=2)
    told = []
    for name, params in (("bit-depth", {"bits": 1}), ("median", {"size": 2})):
        told.append((defended(name, **params)(x).softmax(1) - bare(x).softmax(1)).abs().sum(1))
    wanted = torch.stack(told).amax(0)
    assert torch.allclose(model.distance(x, draws(IDS)), wanted, atol=1e-5)
    assert torch.equal(model.alarm(x)[:, 0] > 0, model.distance(x, draws(IDS)) > 0.1)
    assert torch.equal(model(x), bare(x))


@pytest.mark.parametrize(("threshold", "alarms"), [(0.0, 40), (2.0, 0)])
def test_the_threshold_decides(threshold, alarms):
    x, _ = digits(40)
    x = (x + 0.03 * pixels(40, 1, 28, 28)).clamp(0, 1)  # squeezing changes something, if little
    assert int(defended("feature-squeezing", threshold=threshold).alarm(x).sum()) == alarms


def test_the_judge_tells_of_alarms_at_examples_and_at_clean_inputs():
    verdicts = attacked("feature-squeezing", {"threshold": 0.1, "bits": 1}, eps=0.15, steps=10, awareness="none")
    assert share(verdicts) > 0.9
    assert sum(bool(v.detected) for v in verdicts) > 30  # one bit undoes nearly all of it
    assert sum(bool(v.clean_detected) for v in verdicts) < 8
    assert all(v.detected in (True, False) and v.clean_detected in (True, False) for v in verdicts)
    assert all(v.success for v in verdicts if v.status == "broken")  # an alarm does not change the verdict


def test_nobody_tells_of_alarms_where_nothing_detects():
    verdicts = attacked("bit-depth", {"bits": 2}, eps=0.15, steps=2, n=4)
    assert {v.detected for v in verdicts} == {v.clean_detected for v in verdicts} == {None}


def test_who_knows_of_the_detector_evades_it_more_often():
    params = {"threshold": 0.2, "bits": None, "median": 3}
    evading, careless = (
        undetected(attacked("feature-squeezing", params, eps=0.1, steps=20, awareness=aware))
        for aware in ("all", "none")
    )
    assert evading > careless + 0.15


def test_who_knows_of_the_views_breaks_what_others_do_not():
    adaptive, careless = (
        share(attacked("multi-scale", {}, eps=0.15, steps=15, awareness=aware)) for aware in ("all", "none")
    )
    assert adaptive > careless + 0.15 and adaptive > 0.9


class Fails(torch.nn.Module):
    """Raises where a squeezed picture comes, whose values are all multiples of 1/3."""

    def forward(self, x):
        if (3 * x == (3 * x).round()).flatten(1).all(1).any():
            raise RuntimeError("no two bits, please")
        return x.flatten(1)[:, :3]


def test_a_detector_that_fails_says_nothing_and_the_verdict_stays():
    bare = Victim(Fails(), VictimInfo("fails", "test", 3, (1, 2, 2), (0.0,), (1.0,), ""))
    model = defended("feature-squeezing", bare, threshold=0.1, bits=2, median=None)
    outputs = run_model(model, pixels(3, 1, 2, 2), 3, alarms=True)
    assert outputs.why(0) is None and outputs.detected(0) is None


def test_squeezing_works_on_color():
    bare, x = in_color()
    assert defended("feature-squeezing", bare, threshold=1.0).distance(x, draws(IDS[:6])).shape == (6,)
