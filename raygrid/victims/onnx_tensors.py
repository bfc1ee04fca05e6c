"""The tensors that an ONNX file holds, by name; its graph is not run. Imports no torch."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the initializers of the graph; those of float16 as float32."""
    graph = onnx.load(path, load_external_data=False).graph
    return {tensor.name: _widened(numpy_helper.to_array(tensor)) for tensor in graph.initializer}


def _widened(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype == np.float16 else values
