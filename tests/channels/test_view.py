"""The view channel: what a look changes, that it belongs to its sample, and that gradients pass it."""

from dataclasses import replace
from math import log, pi, radians

import pytest
import torch
from models import pixels

from raygrid.channels.catalog import View
from raygrid.channels.view import DISTANCE, Looks, blurred, draw_looks, homography, moved, view
from raygrid.component import resolve
from raygrid.randomness import Randomness
from raygrid.registry import find

OFF = dict.fromkeys(View.model_fields, 0.0)
STRENGTHS = {
    "scale": 0.5,
    "rotation": 30.0,
    "tilt": 40.0,
    "shift": 0.2,
    "blur": 1.5,
    "gain": 0.5,
    "contrast": 0.5,
    "brightness": 0.2,
    "color": 0.3,
    "noise": 0.05,
}
GEOMETRY = ("scale", "rotation", "tilt", "shift")


def only(**strengths: float) -> View:
    return View(**{**OFF, **strengths})


def randomness(samples: int, seed: int = 0) -> Randomness:
    return Randomness(seed, "any", [f"sample-{k}" for k in range(samples)])


def seen(params: View, x: torch.Tensor, purpose: str = "look", rows: list[int] | None = None) -> torch.Tensor:
    rows = list(range(len(x))) if rows is None else rows
    return view(params, x[rows], randomness(len(x)), purpose, torch.tensor(rows))


def front(batch: int = 1, channels: int = 3, **changes: float) -> Looks:
    """A look from the front, but for some changes."""
    plain = Looks(
        *(torch.full((batch,), value) for value in (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
        gain=torch.ones(batch, channels),
        offset=torch.zeros(batch, channels),
    )
    return replace(plain, **{name: torch.full((batch,), value) for name, value in changes.items()})


# The contract


def test_a_view_without_strength_is_the_image_bit_for_bit():
    x = pixels(3, 3, 8, 8)
    assert view(only(), x, randomness(3), "look", torch.arange(3)) is x


def test_every_strength_is_on_by_default_and_tells_what_it_is():
    component = find("channel", "view")
    assert resolve(component.build) is view
    assert component.params is View
    assert set(STRENGTHS) == set(View.model_fields)
    assert all(strength > 0 for _, strength in View())
    assert all(field.description for field in View.model_fields.values())


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_strength_alone_changes_the_image_and_keeps_it_in_the_box(name):
    x = pixels(6, 3, 12, 12)
    y = seen(only(**{name: STRENGTHS[name]}), x)
    assert ((y - x).abs().amax((1, 2, 3)) > 1e-3).all()
    assert y.min() >= 0
    assert y.max() <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_stay_in_the_box(value):
    x = torch.full((20, 3, 12, 12), value)
    y = seen(View(), x)
    assert y.min() >= 0
    assert y.max() <= 1


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 9, 14)])
def test_a_look_belongs_to_its_sample_whatever_the_batch_and_the_order(shape):
    x = pixels(7, *shape)
    together = seen(View(), x)
    assert torch.equal(seen(View(), x, rows=[5, 2]), together[[5, 2]])
    assert torch.equal(seen(View(), x, rows=[6]), together[[6]])


def test_a_sample_may_be_looked_at_several_times_in_one_batch():
    x = pixels(2, 3, 8, 8)
    twice = view(View(), x[[0, 0]], randomness(2), "look", torch.tensor([0, 0]))
    assert torch.equal(twice[0], twice[1])


@pytest.mark.parametrize("name", STRENGTHS)
def test_purposes_and_samples_differ_in_their_looks(name):
    x = pixels(1, 3, 12, 12).expand(4, -1, -1, -1)
    params = only(**{name: STRENGTHS[name]})
    looks = torch.cat([seen(params, x), seen(params, x, "again")])
    assert len(looks.flatten(1).unique(dim=0)) == 8


@pytest.mark.parametrize("name", STRENGTHS)
def test_the_gradient_is_that_of_an_affine_map_where_nothing_saturates(name):
    x, step = 0.4 + 0.2 * pixels(3, 3, 10, 10).double(), 0.02 * (pixels(3, 3, 10, 10, seed=1).double() - 0.5)
    weights = pixels(3, 3, 10, 10, seed=2).double()
    params = only(**{name: {"gain": 0.2, "contrast": 0.2, "noise": 0.02}.get(name, STRENGTHS[name])})
    x.requires_grad_()
    value = (weights * seen(params, x)).sum((1, 2, 3))
    (g,) = torch.autograd.grad(value.sum(), x)
    with torch.no_grad():
        change = (weights * seen(params, x + step)).sum((1, 2, 3)) - value
    assert g.abs().amax((1, 2, 3)).min() > 0.1
    assert torch.allclose(change, (g * step).sum((1, 2, 3)), rtol=1e-6)


def test_the_gradient_of_a_whole_look_reaches_the_middle_of_every_image():
    x = (0.3 + 0.4 * pixels(8, 3, 16, 16)).requires_grad_()
    (g,) = torch.autograd.grad(seen(View(), x).square().sum(), x)
    assert torch.isfinite(g).all()
    assert (g[:, :, 4:12, 4:12] != 0).all()


@pytest.mark.parametrize("name", [*GEOMETRY, "blur"])
def test_white_keeps_its_gradient_where_only_rounding_leaves_the_box(name):
    x = torch.ones(8, 3, 12, 12, requires_grad=True)
    (g,) = torch.autograd.grad(seen(only(**{name: STRENGTHS[name]}), x).sum(), x)
    assert (g.sum((1, 2, 3)) > 0.95 * 3 * 12 * 12).all()  # every output pixel's weights sum to 1


# What is drawn


def test_looks_keep_to_their_ranges_and_reach_both_ends():
    params, n = View(**STRENGTHS), 400
    looks = draw_looks(params, randomness(n), "look", torch.arange(n), pixels(n, 3, 1, 1))
    ranges = {
        "scale": (1 / 1.5, 1.5),
        "roll": (-radians(30), radians(30)),
        "yaw": (-radians(40), radians(40)),
        "pitch": (-radians(40), radians(40)),
        "right": (-0.2, 0.2),
        "down": (-0.2, 0.2),
        "blur": (0, 1.5),
    }
    for name, (low, high) in ranges.items():
        drawn, margin = getattr(looks, name), 0.02 * (high - low)
        assert low <= drawn.min() < low + margin, name
        assert high - margin < drawn.max() <= high, name


def test_the_tint_leaves_the_geometric_mean_of_the_channels():
    looks = draw_looks(only(color=0.3), randomness(50), "look", torch.arange(50), pixels(50, 3, 1, 1))
    assert looks.gain.std(1).min() > 0
    assert torch.allclose(looks.gain.log().mean(1), torch.zeros(50), atol=1e-6)
    gray = pixels(4, 1, 6, 6)
    assert torch.allclose(seen(only(color=0.3), gray), gray, atol=1e-6)


def test_light_is_contrast_about_middle_gray_then_gain_then_brightness():
    n = 300
    index, like = torch.arange(n), pixels(n, 3, 1, 1)
    contrast = draw_looks(only(contrast=0.5), randomness(n), "look", index, like)
    assert torch.allclose(0.5 * contrast.gain + contrast.offset, torch.tensor(0.5), atol=1e-6)
    gain = draw_looks(only(gain=0.5), randomness(n), "look", index, like)
    assert (gain.gain.log().abs() <= log(1.5) + 1e-6).all()
    assert not gain.offset.any()
    everything = draw_looks(only(gain=0.5, contrast=0.5, brightness=0.2), randomness(n), "look", index, like)
    brightness = draw_looks(only(brightness=0.2), randomness(n), "look", index, like)
    x = pixels(n, 3)
    expected = (x * contrast.gain + contrast.offset) * gain.gain + brightness.offset
    assert torch.allclose(x * everything.gain + everything.offset, expected, atol=1e-5)


def test_a_strength_changes_no_other_draw():
    one = draw_looks(only(scale=0.5), randomness(5), "look", torch.arange(5), pixels(5, 3, 1, 1))
    all_on = draw_looks(View(**STRENGTHS), randomness(5), "look", torch.arange(5), pixels(5, 3, 1, 1))
    assert torch.equal(one.scale, all_on.scale)


def test_the_noise_has_its_standard_deviation():
    x = torch.full((4, 3, 64, 64), 0.5)
    noise = seen(only(noise=0.05), x) - x
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)


# The camera


def test_from_the_front_an_image_is_itself():
    x = pixels(2, 3, 9, 14)
    assert torch.allclose(moved(x, front(2)), x, atol=1e-5)


def test_a_quarter_turn_is_rot90():
    x = pixels(1, 3, 8, 8)
    assert torch.allclose(moved(x, front(roll=pi / 2)), x.rot90(-1, (2, 3)), atol=1e-4)


def test_half_a_turn_of_an_oblong_image_flips_both_axes():
    x = pixels(1, 3, 6, 10)
    assert torch.allclose(moved(x, front(roll=pi)), x.flip(2, 3), atol=1e-4)


@pytest.mark.parametrize(("side", "dims"), [("right", 3), ("down", 2)])
def test_a_shift_is_a_share_of_the_shorter_side(side, dims):
    x = pixels(1, 3, 8, 16)
    y = moved(x, front(**{side: 2 / 8}))
    size = x.shape[dims]
    assert torch.allclose(y.narrow(dims, 2, size - 2), x.narrow(dims, 0, size - 2), atol=1e-4)


def test_outside_an_image_its_edge_goes_on():
    x = pixels(1, 3, 8, 8)
    y = moved(x, front(right=0.25))
    assert torch.allclose(y[..., :2], x[..., :1].expand(-1, -1, -1, 2), atol=1e-4)


def test_twice_the_scale_shows_the_middle_half():
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    y = moved(ramp, front(scale=2.0))
    step = 1 / 15
    assert torch.allclose(y[0, 0, 0].diff(), torch.full((15,), step / 2), atol=1e-4)
    assert y.mean().item() == pytest.approx(0.5, abs=1e-4)


def corner(looks: Looks, x: float, y: float) -> tuple[float, float]:
    """Where a place of the image is seen: by the inverse of what `homography` gives."""
    u, v, w = (
        torch.linalg.inv(homography(looks)[0].double()) @ torch.tensor([x, y, 1.0], dtype=torch.float64)
    ).tolist()
    return u / w, v / w


def test_a_tilted_square_is_seen_as_a_pinhole_camera_sees_it():
    """The right side of a square turned by 30 degrees stands at depth DISTANCE + sin 30, the left at DISTANCE - sin 30."""
    looks = front(yaw=radians(30))
    across, away = 3**0.5 / 2, 0.5
    for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        share = DISTANCE / (DISTANCE + x * away)
        assert corner(looks, x, y) == pytest.approx((x * across * share, y * share), abs=1e-5)


def test_pitch_sends_the_lower_side_away():
    looks = front(pitch=radians(30))
    low, high = corner(looks, 1, 1), corner(looks, 1, -1)
    assert low[0] < 1 < high[0]
    assert low[1] < -high[1]


def test_the_middle_stays_in_the_middle_however_it_is_turned():
    looks = front(yaw=0.5, pitch=-0.3, roll=1.0, scale=0.8)
    assert corner(looks, 0, 0) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("yaw", [radians(60), -radians(60)])
@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_rays_that_would_pass_the_horizon_of_an_oblong_image_see_its_edge(yaw, scale):
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 6, 64)
    steps = moved(ramp, front(yaw=yaw, pitch=radians(50), scale=scale)).diff(dim=3)
    assert steps.min() > -1e-5  # no part is seen mirrored
    assert steps.max() > 0


# The blur


def test_a_blur_spreads_a_point_by_its_variance_and_keeps_its_light():
    x = torch.zeros(3, 2, 41, 41)
    x[:, :, 20, 20] = 1
    sigma = torch.tensor([0.8, 2.0, 3.0])
    y = blurred(x, sigma, most=4.0)
    assert torch.allclose(y.sum((2, 3)), torch.ones(3, 2), atol=1e-5)
    places = (torch.arange(41.0) - 20) ** 2
    for dim in (2, 3):
        assert torch.allclose((y.sum(dim) * places).sum(-1), (sigma**2)[:, None].expand(3, 2), rtol=0.02)


def test_a_blur_leaves_one_color_and_no_blur_leaves_everything():
    assert torch.allclose(blurred(torch.full((1, 3, 9, 9), 0.7), torch.tensor([2.0]), most=2.0), torch.tensor(0.7))
    x = pixels(1, 3, 9, 9)
    assert torch.equal(blurred(x, torch.tensor([0.0]), most=2.0), x)
