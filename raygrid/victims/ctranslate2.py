"""The container of CTranslate2 models (`model.bin`, version 6): a header and named variables, little-endian. Imports no torch."""

import struct
from pathlib import Path

import numpy as np

from raygrid.errors import UsageError

VERSION = 6
KINDS = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""Types of values, by their number in the file; float16 is read as float32."""


def read_ct2(path: Path) -> dict[str, np.ndarray]:
    """Return the variables of a model under their names, such as `encoder/conv1/weight`; aliases too.

    Raises:
        UsageError: the file is of another version, or cut short.
    """
    reader = _Reader(path.read_bytes())
    try:
        if (version := reader.number("I")) != VERSION:
            raise UsageError(f"{path}: a CTranslate2 model of version {version}; version {VERSION} is read")
        reader.text()  # the architecture, and its revision
        reader.number("I")
        variables = dict(reader.variable() for _ in range(reader.number("I")))
        for _ in range(reader.number("I")):
            alias = reader.text()
            variables[alias] = variables[reader.text()]
    except (struct.error, ValueError, KeyError) as error:
        raise UsageError(f"{path}: no CTranslate2 model, or only the beginning of one") from error
    return variables


class _Reader:
    """A place in the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self.data, self.place)
        self.place += struct.calcsize(kind)
        return int(value)

    def text(self) -> str:
        length = self.number("H")
        self.place += length
        return self.data[self.place - length : self.place].rstrip(b"\0").decode()

    def variable(self) -> tuple[str, np.ndarray]:
        name = self.text()
        shape = [self.number("I") for _ in range(self.number("B"))]
        kind = np.dtype(KINDS[self.number("B")])
        size = self.number("I")
        values = np.frombuffer(self.data, kind, size // kind.itemsize, self.place).reshape(shape)
        self.place += size
        return name, values.astype(np.float32) if kind == np.float16 else values
