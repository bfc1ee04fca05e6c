"""YAMNet against the file it was read from, and on sounds whose names are known."""

import zipfile

import numpy as np
import onnx
import pytest
import torch

from raygrid.assets import cached, fetch
from raygrid.audioset import class_names, families, label_of
from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.data.pins_sounds import NAMED
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.registry import find
from raygrid.victims.check import check_victim
from raygrid.victims.yamnet_net import LogMelPatches, MeanOfPatches


def load(classes):
    component = find("victim", "yamnet")
    params = component.params(classes=classes)
    return resolve(component.build)(params, resolve(component.identify)(params, "mine"))


@pytest.fixture(scope="module")
def victim():
    return load("all")


@pytest.fixture(scope="module")
def noise():
    return 0.1 * torch.randn(3, 24_000, generator=torch.Generator().manual_seed(0))


def without_quantization(folder):
    """Return a session of the file's own graph with every step of quantization taken out."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs the file itself, not installed here")
    with zipfile.ZipFile(fetch(ASSETS["yamnet"])) as archive:
        archive.extractall(folder)
    model = onnx.load(next(folder.rglob("*.onnx")))
    source = {}
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            source[node.output[0]] = source.get(node.input[0], node.input[0])
    kept = [node for node in model.graph.node if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}]
    for node in kept:
        node.input[:] = [source.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    for value, name in ((model.graph.input[0], "audio"), (model.graph.output[0], "class_scores_updated")):
        value.name = name
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del model.graph.value_info[:]
    for node in kept:  # the input came dequantized
        node.input[:] = ["audio" if name == "audio_q" else name for name in node.input]
    return onnxruntime.InferenceSession(model.SerializeToString())


def test_the_net_says_what_the_file_says(victim, noise, tmp_path):
    session = without_quantization(tmp_path)
    patches = victim.model.patches(noise)
    ours = victim.model.classifier(victim.model.body(patches))
    theirs = [
        session.run(None, {"audio": patch[None, None].numpy()})[0][0] for clip in patches.detach() for patch in clip
    ]
    assert ours.shape == (3, 3, 521)  # 1.5 s: three patches, the last filled up
    assert np.abs(ours.flatten(0, 1).numpy() - np.stack(theirs)).max() < 2e-3


def test_a_tone_stands_in_the_band_that_its_frequency_has():
    t = torch.arange(16_000) / 16_000
    for hertz in (250.0, 1000.0, 4000.0):
        mel = LogMelPatches()(torch.sin(2 * torch.pi * hertz * t)[None])[0, 0].mean(0)
        at = 2595 * np.log10(1 + np.array([hertz, 125.0, 7500.0]) / 700)
        assert abs(int(mel.argmax()) + 1 - 65 * (at[0] - at[1]) / (at[2] - at[1])) <= 1


def test_of_one_patch_the_clip_says_what_the_patch_says():
    z = torch.tensor([[[-30.0, 0.5, 40.0]]])
    assert torch.allclose(MeanOfPatches()(z), z[0])


def test_a_clip_says_what_its_patches_say_on_average():
    z = torch.tensor([[[-2.0, 1.0], [3.0, -1.0]]])
    assert torch.allclose(MeanOfPatches()(z).sigmoid(), z.sigmoid().mean(1))


def test_it_keeps_the_contract_of_victims(victim, noise):
    assert check_victim(victim, noise, torch.zeros(3, dtype=torch.long), 521) == []
    assert check_victim(load("families"), noise, torch.zeros(3, dtype=torch.long), 216) == []


def test_pictures_are_refused_before_anything_runs(victim):
    assert (
        "takes recordings, the data has pictures" in check_victim(victim, torch.zeros(1, 3, 8, 8), torch.zeros(1), 2)[0]
    )


def test_a_family_scores_as_its_best_class(victim, noise):
    all_scores, family_scores = victim(noise), load("families")(noise)
    for place, family in enumerate(families()):
        assert torch.equal(family_scores[:, place], all_scores[:, list(family)].amax(1))


def test_no_class_is_in_two_families():
    members = [number for family in families() for number in family]
    assert len(members) == len(set(members)) == 415
    assert (len(families()), len(class_names("families")), len(class_names("all"))) == (216, 216, 521)


def test_parts_have_the_label_of_their_family():
    assert label_of("Bark", "families", "") == label_of("Dog", "families", "") != label_of("Meow", "families", "")
    assert label_of("Bark", "all", "") == 70


@pytest.mark.parametrize(("name", "message"), [("Barck", 'did you mean "Bark"'), ("Animal", "says too little")])
def test_names_that_are_no_answers_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        label_of(name, "families", "path")


@pytest.mark.skipif(any(cached(asset) is None for asset in NAMED), reason="named-sounds is not in the cache (Debian)")
def test_the_share_of_named_sounds_that_it_names_is_the_known_one():
    component = find("data", "named-sounds")
    right = {}
    for classes in ("families", "all"):
        dataset = resolve(component.build)(component.params(classes=classes), None)
        x, labels = torch.tensor(pixels(dataset.table)), torch.tensor(dataset.table.column("label").to_numpy())
        with torch.no_grad():
            right[classes] = int((load(classes)(x).argmax(1) == labels).sum())
    assert right == {"families": 46, "all": 16}
