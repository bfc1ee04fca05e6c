"""The built-in face embedders: against their recorded outputs, on the ORL faces, and as victims to be attacked."""

import hashlib
import re
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from models import pixels, victim
from torch import Tensor

from raygrid.assets import cached
from raygrid.component import resolve
from raygrid.data import dataset
from raygrid.pins import ASSETS
from raygrid.registry import find
from raygrid.victims import faceres
from raygrid.victims.catalog_faces import INFOS
from raygrid.victims.check import check_victim
from raygrid.victims.dlib_resnet import CHIP, chip_landmarks
from raygrid.victims.face_crops import fitted

torch.set_num_threads(1)


def needs_package(name: str):
    """npm packages are fetched only where they are used: that of mobileface has 145 MB."""
    assets = [name, f"{name}/manifest"] if f"{name}/manifest" in ASSETS else [name]
    absent = ASSETS[name].registry == "npm" and any(cached(ASSETS[asset]) is None for asset in assets)
    skips = [pytest.mark.skipif(absent, reason=f"run `raygrid assets fetch {' '.join(assets)}` first")]
    if name == "fr-feature":
        skips.append(pytest.mark.skipif(find_spec("onnx") is None, reason="the extra `onnx` is not installed"))
    return pytest.param(name, marks=skips)


EMBEDDERS = [needs_package(name) for name in ("dlib-resnet", "faceres", "mobileface", "fr-feature")]
WIDTH = {"dlib-resnet": 128, "faceres": 1024, "mobileface": 256, "fr-feature": 512}
PARAMETERS = {"dlib-resnet": 5_607_488, "faceres": 3_196_032, "mobileface": 545_408, "fr-feature": 1_190_336}
FIRST = {
    "dlib-resnet": (-0.0898, 0.0984, 0.0054, 1.5184),
    "faceres": (0.0, 0.0175, 0.1152, 12.731),
    "mobileface": (-4.3941, -2.8319, -4.3247, 53.155),
    "fr-feature": (-0.1721, -0.0329, 0.0302, 3.3640),
}
"""The first numbers of the embedding of s1/1, and its norm."""


@cache
def orl() -> tuple[Tensor, np.ndarray]:
    """Frames [400, 3, 160, 160] in [0, 1] and who is in them."""
    component = find("data", "orl-faces")
    table = resolve(component.build)(component.params(), None).table
    return torch.tensor(dataset.pixels(table)), np.array(table.column("cluster").to_pylist())


def embeddings(name: str, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([victim(name)(part) for part in x.split(20)])


@cache
def embedded(name: str) -> Tensor:
    """The embeddings [400, D] of all ORL photos."""
    return embeddings(name, orl()[0])


def similarities(name: str, e: Tensor) -> Tensor:
    if victim(name).info.similarity == "l2":
        return -torch.cdist(e, e)
    e = torch.nn.functional.normalize(e)
    return e @ e.T


def pairs(similarity: Tensor, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of all pairs of photos of one person, and of two."""
    i, j = np.triu_indices(len(people), 1)
    s, same = similarity.numpy()[i, j], people[i] == people[j]
    return s[same], s[~same]


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    thresholds = np.sort(np.concatenate([genuine, impostor]))
    false_reject = np.searchsorted(np.sort(genuine), thresholds) / len(genuine)
    false_accept = 1 - np.searchsorted(np.sort(impostor), thresholds) / len(impostor)
    return float(np.maximum(false_reject, false_accept).min())


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_embedding_of_a_photo_is_the_recorded_one(name):
    (e,) = embeddings(name, orl()[0][:1])
    *first, norm = FIRST[name]
    assert e.shape == (WIDTH[name],) and e[:3].tolist() == pytest.approx(first, abs=2e-3)
    assert float(e.norm()) == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "published"),
    [pytest.param("dlib-resnet", 0.0038), pytest.param("mobileface", 0.0283, marks=EMBEDDERS[2].marks)],
)
def test_orl_faces_are_told_apart_as_well_as_they_were_by_the_published_nets(name, published):
    _, people = orl()
    genuine, impostor = pairs(similarities(name, embedded(name)), people)
    assert len(genuine) == 1_800 and len(impostor) == 78_000
    assert equal_error_rate(genuine, impostor) == pytest.approx(published, abs=0.003)


def test_a_threshold_of_some_people_holds_for_others():
    _, people = orl()
    known = np.isin(people, sorted(set(people))[::2])
    of_known, of_others = (
        pairs(similarities("dlib-resnet", embedded("dlib-resnet")[some]), people[some]) for some in (known, ~known)
    )
    threshold = np.quantile(of_known[1], 0.99)
    assert (of_others[1] > threshold).mean() < 0.02 and (of_others[0] > threshold).mean() > 0.99


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_net_is_whole_and_frozen(name):
    model = victim(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    assert not any(p.requires_grad for p in model.parameters())
    assert (model.info.task, model.info.classes, model.info.input_shape) == ("verification", WIDTH[name], (3, 160, 160))


@pytest.mark.parametrize(("name", "box"), [("dlib-resnet", fitted(chip_landmarks(), CHIP)), ("faceres", faceres.BOX)])
def test_what_a_victim_is_says_which_part_of_the_frame_it_takes(name, box):
    side, edges = box.size * box.step, [at + (1 - box.step) / 2 for at in box[:2]]
    text = INFOS[name].resize
    said = [float(number) for number in re.findall(r"[\d.]+", text)]
    assert said == pytest.approx([side, side, *edges, box.size, box.size], abs=0.005), text


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_victim_keeps_its_contract(name):
    x, _ = orl()
    assert check_victim(victim(name), x[:4], torch.arange(4), 1_000_000) == []  # labels are people: no matter how many


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_gradient_reaches_the_face_and_nothing_outside_of_what_the_net_sees(name):
    x = orl()[0][:2].clone().requires_grad_()
    e = victim(name)(x)
    torch.nn.functional.cosine_similarity(e[:1], e[1:]).sum().backward()
    steepness = x.grad.abs().amax(1)
    assert bool(torch.isfinite(steepness).all())
    assert (steepness[:, 60:110, 55:105] > 0).float().mean() > 0.99
    assert not steepness[:, :12].any() and not steepness[:, :, :12].any()


@pytest.mark.parametrize("name", EMBEDDERS)
def test_what_stands_beside_a_photo_does_not_matter(name):
    x = orl()[0][:4]
    together = victim(name)(x)
    assert torch.allclose(torch.cat([victim(name)(x[i : i + 1]) for i in range(4)]), together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_what_follows_from_every_layer_is_what_the_victim_says(name):
    model, x = victim(name), pixels(2, 3, 160, 160)
    with torch.no_grad():
        whole = model(x)
        for layer in model.layers.names:
            h = model.features(x, layer)
            assert torch.equal(model.resume(h, layer), whole), layer
            assert not model.layers.rectified(layer) or bool((h >= 0).all()), layer
    assert len(model.layers.names) >= 20


@pytest.mark.parametrize("name", EMBEDDERS)
def test_outputs_are_the_same_in_every_run(name):
    x = pixels(2, 3, 160, 160)
    digests = {hashlib.sha256(victim(name)(x).numpy().tobytes()).hexdigest() for _ in range(3)}
    assert len(digests) == 1
