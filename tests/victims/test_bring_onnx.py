import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bringing import bring, build, identify, pixels

from raygrid.errors import UsageError

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnx2torch", reason="the extra `onnx` is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CLASSES, CHANNELS, SIDE = 5, 3, 6


def nodes(flatten: str = "flatten", activation: str = "Relu") -> list:
    """conv -> activation -> flatten -> gemm; the flatten for any batch, or with a batch of 1 baked in."""
    flat = {
        "flatten": helper.make_node("Flatten", ["a"], ["f"], axis=1),
        "baked": helper.make_node("Reshape", ["a", "shape"], ["f"]),
    }
    return [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(activation, ["c"], ["a"]),
        flat[flatten],
        helper.make_node("Gemm", ["f", "w", "v"], ["y"], transB=1),
    ]


def weights() -> list:
    rng = np.random.default_rng(0)
    shapes = {"k": (4, CHANNELS, 3, 3), "b": (4,), "w": (CLASSES, 4 * SIDE * SIDE), "v": (CLASSES,)}
    tensors = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32) / 3, name) for name, shape in shapes.items()
    ]
    return [*tensors, numpy_helper.from_array(np.array([1, 4 * SIDE * SIDE], np.int64), "shape")]


def write(path: Path, batch="N", side=SIDE, classes=CLASSES, x_type=TensorProto.FLOAT, outputs=("y",), **kinds) -> Path:
    graph = helper.make_graph(
        nodes(**kinds),
        "small",
        [helper.make_tensor_value_info("x", x_type, [batch, CHANNELS, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, classes]) for name in outputs],
        weights(),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "small.onnx"


def onnxruntime_outputs(file: Path, x: np.ndarray) -> np.ndarray:
    """Sample by sample, which graphs with a batch of 1 need."""
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": sample[None]})[0] for sample in x])


GRAPHS = {"any batch": {}, "batch of 1": {"batch": 1}, "batch of 1, baked in": {"batch": 1, "flatten": "baked"}}


@pytest.mark.parametrize("kind", GRAPHS)
def test_outputs_are_those_of_onnxruntime(file, kind):
    write(file, **GRAPHS[kind])
    victim = bring("onnx", file=str(file), mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])
    x = pixels(3, CHANNELS, SIDE, SIDE)
    expected = onnxruntime_outputs(file, ((x - victim.mean) / victim.std).numpy())
    assert np.allclose(victim(x).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_gradient_is_the_slope_of_onnxruntime_s_outputs(file, kind):
    write(file, **GRAPHS[kind])
    victim = bring("onnx", file=str(file))
    x = pixels(2, CHANNELS, SIDE, SIDE).requires_grad_()
    (gradient,) = torch.autograd.grad(victim(x).amax(1).sum(), x)
    along, step = pixels(2, CHANNELS, SIDE, SIDE, seed=1) - 0.5, 1e-2
    ahead, behind = (
        onnxruntime_outputs(file, (x + sign * step * along).detach().numpy()).max(1).sum() for sign in (1, -1)
    )
    assert float((gradient * along).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=0.02)


def test_only_a_graph_that_cannot_take_batches_runs_one_by_one(file):
    from raygrid.victims.onnx_to_torch import OneByOne

    slow = {kind: isinstance(bring("onnx", file=str(write(file, **GRAPHS[kind]))).model, OneByOne) for kind in GRAPHS}
    assert slow == {"any batch": False, "batch of 1": False, "batch of 1, baked in": True}


def test_the_graph_states_the_contract(file):
    info = identify("onnx", file=str(write(file)))
    assert (info.input_shape, info.classes, info.mean, info.std) == ((3, 6, 6), CLASSES, (0.0,) * 3, (1.0,) * 3)


def test_open_sizes_are_taken_from_the_job(file):
    write(file, side="S", classes="K")
    with pytest.raises(UsageError, match=re.escape("input: the graph leaves [3, ?, ?] open; give input: [C, H, W]")):
        identify("onnx", file=str(file))
    info = identify("onnx", file=str(file), input=[3, 6, 6], classes=CLASSES)
    assert (info.input_shape, info.classes) == ((3, 6, 6), CLASSES)


def test_the_file_and_the_normalization_are_part_of_the_victim(file):
    info = identify("onnx", file=str(write(file)))
    assert identify("onnx", file=str(file), std=[1, 1, 0.5]) != info
    write(file, batch=1)
    assert identify("onnx", file=str(file)) != info
    with pytest.raises(UsageError, match=f"not {info.weights_sha256}"):
        build("onnx", info, file=str(file))


@pytest.mark.parametrize(
    ("graph", "words", "message"),
    [
        ({"batch": 8}, {}, "file: the graph was exported for batches of 8; export it with an open batch dimension"),
        ({}, {"input": [3, 7, 7]}, "input: the graph takes [3, 6, 6], not [3, 7, 7]"),
        ({}, {"classes": 4}, "classes: the graph has 5, not 4"),
        ({"x_type": TensorProto.FLOAT16}, {}, 'has the input "x", which is not float32 [B, C, H, W]'),
        ({"outputs": ("y", "f")}, {}, "has the inputs ['x'] and outputs ['y', 'f']; a classifier has one each"),
        ({}, {"mean": [0]}, "mean: 1 values for 3 channels; give one a channel"),
        ({}, {"sha256": "0" * 64}, "sha256: "),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(file, graph, words, message):
    write(file, **graph)
    with pytest.raises(UsageError, match=re.escape(message)):
        identify("onnx", file=str(file), **words)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"<html>", "is a web page saved as ONNX"), (b"", "is no ONNX file"), (b"\x08", "is no ONNX file")],
)
def test_a_file_that_is_no_onnx_is_refused(file, content, why):
    file.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(why)):
        identify("onnx", file=str(file))


def test_weights_in_a_side_file_are_refused(file):
    write(file)
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="side.bin", size_threshold=0)
    with pytest.raises(UsageError, match="keeps its weights in another file"):
        identify("onnx", file=str(file))


def test_an_operator_that_cannot_be_converted_is_named(file):
    write(file, activation="Hardmax")
    with pytest.raises(UsageError, match=r"onnx2torch cannot convert .*Hardmax"):
        bring("onnx", file=str(file))


@pytest.mark.parametrize("package", ["onnx", "onnx2torch"])
def test_without_a_package_the_message_says_what_to_install(file, monkeypatch, package):
    write(file)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=re.escape(f"{package} is not installed here; pip install 'raygrid[onnx]'")):
        bring("onnx", file=str(file))
