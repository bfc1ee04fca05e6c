"""Reading weights as data: TensorFlow.js manifests, ONNX files and dlib's own format, whole and damaged."""

import json

import numpy as np
import pytest
import torch

from raygrid.assets import fetch
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.victims import dlib_resnet, mobilefacenet, tfjs


@pytest.fixture
def model(tmp_path):
    """A manifest and its values: float32, float16 and eight-bit numbers, an integer and a flag."""
    kinds = [
        ({"name": "plain", "shape": [2, 2], "dtype": "float32"}, np.array([[1, -2], [3, 4]], "<f4")),
        (
            {"name": "half", "shape": [3], "dtype": "float32", "quantization": {"dtype": "float16"}},
            np.array([0.5, -1.5, 2], "<f2"),
        ),
        (
            {
                "name": "eighths",
                "shape": [2, 1],
                "dtype": "float32",
                "quantization": {"dtype": "uint8", "scale": 0.125, "min": -1.0},
            },
            np.array([0, 24], "u1"),
        ),
        ({"name": "axis", "shape": [], "dtype": "int32"}, np.array(-1, "<i4")),
        ({"name": "flag", "shape": [1], "dtype": "bool"}, np.array([True])),
    ]
    manifest, weights = tmp_path / "model.json", tmp_path / "model.bin"
    groups = [{"paths": ["model.bin"], "weights": [entry for entry, _ in kinds]}]
    manifest.write_text(json.dumps({"format": "graph-model", "weightsManifest": groups}))
    weights.write_bytes(b"".join(values.tobytes() for _, values in kinds))
    return manifest, weights


def test_values_are_read_as_they_were_written_and_quantized_ones_unfolded(model):
    tensors = tfjs.read_tensors(*model)
    assert tensors["plain"].tolist() == [[1, -2], [3, 4]]
    assert tensors["half"].tolist() == [0.5, -1.5, 2] and tensors["half"].dtype == torch.float32
    assert tensors["eighths"].tolist() == [[-1.0], [2.0]]
    assert tensors["axis"].item() == -1 and tensors["flag"].tolist() == [True]


def test_a_file_that_is_too_short_or_too_long_is_told(model):
    manifest, weights = model
    whole = weights.read_bytes()
    weights.write_bytes(whole[:9])
    with pytest.raises(UsageError, match=r"weights .*model\.bin: a damaged file"):
        tfjs.read_tensors(manifest, weights)
    weights.write_bytes(whole + b"more")
    with pytest.raises(UsageError, match=r"tells of 29 bytes, the file has 33"):
        tfjs.read_tensors(manifest, weights)


@pytest.mark.parametrize(
    "text", ["", "<html>", "[]", '{"weightsManifest": 3}', '{"weightsManifest": [{"weights": [{"name": "a"}]}]}']
)
def test_a_manifest_that_is_none_is_told(model, text):
    manifest, weights = model
    manifest.write_text(text)
    with pytest.raises(UsageError, match=r"a damaged file, or not the one that .*model\.json tells of"):
        tfjs.read_tensors(manifest, weights)


def test_kernels_are_brought_to_torch_s_axes():
    kernel = torch.arange(24.0).view(1, 2, 3, 4)
    assert tfjs.convolution(kernel)[3, 1, 0, 1] == kernel[0, 1, 1, 3]
    kernel = torch.arange(6.0).view(1, 2, 3, 1)
    assert tfjs.depthwise(kernel)[2, 0, 0, 1] == kernel[0, 1, 2, 0]


@pytest.mark.parametrize("part", [0, 1_000, 20_000_000])
def test_a_truncated_file_of_dlib_is_told(tmp_path, part):
    file = tmp_path / "model.dat"
    file.write_bytes(fetch(ASSETS["dlib-resnet"]).read_bytes()[:part])
    with pytest.raises(UsageError, match=r"model\.dat: a damaged file, or no dlib face recognition ResNet"):
        dlib_resnet.read_dat(file)


def test_a_file_of_dlib_with_another_net_is_told(tmp_path):
    data = fetch(ASSETS["dlib-resnet"]).read_bytes()
    theirs, other = (bytes([1, 2, 1, values, 1, 1, 1, 1, 1, 1]) for values in (64, 65))
    file = tmp_path / "model.dat"
    file.write_bytes(data.replace(theirs, other))
    with pytest.raises(UsageError, match="no tensor of 64 x 1 values where one should be"):
        dlib_resnet.read_dat(file)


def test_an_onnx_file_gives_its_parameters_in_the_order_of_their_use(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    kernel, bias, slope = np.ones((2, 3, 1, 1), "f4"), np.array([1, 2], "f4"), np.array([3, 4], "f4").reshape(2, 1, 1)
    held = [onnx.numpy_helper.from_array(v, name) for name, v in (("s", slope), ("b", bias), ("k", kernel))]
    nodes = [onnx.helper.make_node("Conv", ["x", "k", "b"], ["c"]), onnx.helper.make_node("PRelu", ["c", "s"], ["y"])]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
    file = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", ends[:1], ends[1:], held)), file)
    found = mobilefacenet.read_parameters("mine", file)
    assert [tuple(values.shape) for values in found] == [(2, 3, 1, 1), (2,), (2,)]
    assert found[1].tolist() == [1, 2] and found[2].tolist() == [3, 4]
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(UsageError, match="is no ONNX file"):
        mobilefacenet.read_parameters("mine", file)
