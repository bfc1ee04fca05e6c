"""Face embedders that people bring: which part of a frame they see, and what is said when that can't be."""

import pytest
import torch
from bringing import bring, identify, pixels

from raygrid.errors import UsageError

CODE = """
import torch
from torch import nn

class Seen(nn.Module):
    "Embeds a face as what it sees of it: one pixel, the mean and the size."
    def forward(self, x):
        size = torch.full((len(x),), float(x.shape[-1]))
        return torch.stack([x[:, 0, 0, 0], x.mean((1, 2, 3)), size], 1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 16)

    def forward(self, x):
        return self.last(self.conv(x).relu().mean((2, 3)))
"""
WORDS = {"input": [3, 112, 112], "classes": 3, "trust": True, "task": "verification"}


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "embedder.py"
    path.write_text(CODE)
    return f"{path}:Seen"


def test_an_embedder_takes_the_whole_frame_at_its_own_size(target):
    model = bring("module", target=target, **WORDS)
    x = pixels(2, 3, 160, 160)
    seen = model(x)
    assert model.info.input_shape == (3, 160, 160) and seen[:, 2].tolist() == [112.0] * 2
    assert torch.allclose(seen[:, 1], x.mean((1, 2, 3)), atol=1e-3)


def test_an_embedder_takes_the_part_that_it_names_untouched_where_the_size_fits(target):
    model = bring("module", target=target, crop=[24, 24, 112], **WORDS)
    x = pixels(2, 3, 160, 160)
    assert torch.equal(model(x)[:, 0], x[:, 0, 24, 24])
    assert torch.allclose(model(x)[:, 1], x[:, :, 24:136, 24:136].mean((1, 2, 3)))


def test_normalization_comes_before_the_first_layer(target):
    model = bring("module", target=target, crop=[24, 24, 112], mean=[0.5] * 3, std=[0.5] * 3, **WORDS)
    x = pixels(2, 3, 160, 160)
    assert torch.allclose(model(x)[:, 0], 2 * x[:, 0, 24, 24] - 1)


def test_what_an_embedder_is_says_its_task_similarity_and_crop(target):
    info = identify("module", target=target, similarity="l2", **WORDS)
    assert (info.task, info.similarity, info.classes) == ("verification", "l2", 3)
    assert identify("module", target=target, **WORDS).similarity == "cosine"
    other = identify("module", target=target, similarity="l2", crop=[10, 10, 140], **WORDS)
    assert info.facts() != other.facts()  # or results of one crop would stand for those of the other
    assert "140x140 at (10, 10)" in other.resize


def test_gradients_and_layers_go_through_the_crop(target):
    words = WORDS | {"classes": 16}
    model = bring("module", target=target.replace("Seen", "Net"), crop=[20, 30, 120], **words)
    x = pixels(2, 3, 160, 160).requires_grad_()
    whole = model(x)
    whole.square().sum().backward()
    assert x.grad[:, :, 40:140, 30:130].abs().sum() > 0 and not x.grad[:, :, :29].any()
    assert model.layers.names[:2] == ["crop", "net.conv"]
    for layer in model.layers.names:
        assert torch.equal(model.resume(model.features(x, layer), layer), whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"input": [3, 112, 96]}, r"input: a face embedder takes RGB squares, \[3, S, S\], not \[3, 112, 96\]"),
        ({"input": [1, 112, 112]}, "input: a face embedder takes RGB squares"),
        ({"crop": [24, 24, 140]}, r"crop: \[left, top, side\] must be a square inside of 0..160 pixels"),
        ({"crop": [-1, 0, 100]}, r"crop: \[left, top, side\]"),
        ({"crop": [0, 0, 0]}, r"crop: \[left, top, side\]"),
        ({"crop": [0, 0, float("nan")]}, r"crop: \[left, top, side\]"),
        (
            {"task": "classification", "similarity": "l2"},
            "similarity: only for face embedders; say `task: verification`",
        ),
        ({"task": "classification", "crop": [0, 0, 160]}, "crop: only for face embedders"),
    ],
)
def test_what_cannot_be_is_told(target, words, message):
    with pytest.raises(UsageError, match=message):
        identify("module", target=target, **WORDS | words)


def test_an_embedder_in_an_onnx_file_sees_its_part_of_the_frame(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnx2torch", reason="the extra `onnx` is not installed")
    node = onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "mean color",
        [onnx.helper.make_tensor_value_info("x", kind, [1, 3, 64, 64])],
        [onnx.helper.make_tensor_value_info("y", kind, [1, 3])],
    )
    file = tmp_path / "colors.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), file)
    model = bring("onnx", file=str(file), task="verification", crop=[16, 16, 128])
    x = pixels(2, 3, 160, 160)
    assert torch.allclose(model(x), x[:, :, 16:144, 16:144].mean((2, 3)), atol=2e-3)
    assert (model.info.task, model.info.classes, model.info.input_shape) == ("verification", 3, (3, 160, 160))
