"""`parquet` and `arrow`: images and labels in named columns of tables that a person brings."""

import json
from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as tables

from raygrid.data.catalog import ColumnsParams
from raygrid.data.dataset import CORE_COLUMNS, Dataset, make_table
from raygrid.data.images import channels_first, open_image, stack, to_pixels
from raygrid.data.labels import count_classes, integer_labels, named_labels
from raygrid.data.paths import existing, existing_file
from raygrid.errors import UsageError, did_you_mean


def parquet(params: ColumnsParams, limit: int | None) -> Dataset:
    """Read the first `limit` rows of a Parquet file, or of a folder of them in the order of their names.

    Raises:
        UsageError: no Parquet, or its columns are not what the parameters say.
    """
    place = existing(params.path)
    try:
        return _from_rows(f"parquet:{place.stem}", tables.dataset(place, format="parquet"), params, limit)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f'path: "{place}" cannot be read as Parquet: {error}') from error


def arrow(params: ColumnsParams, limit: int | None) -> Dataset:
    """Read the first `limit` rows of an Arrow file: the file format (Feather) or the stream format (Hugging Face).

    Raises:
        UsageError: no Arrow, or its columns are not what the parameters say.
    """
    file = existing_file(params.path)
    try:
        return _from_rows(f"arrow:{file.stem}", tables.dataset(_map_ipc(file)), params, limit)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f'path: "{file}" cannot be read as Arrow: {error}') from error


def _map_ipc(file: Path) -> pa.Table:
    """Map the file into memory: nothing of it is read before it is used."""
    source = pa.memory_map(str(file))
    try:
        return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid:  # not the file format
        source.seek(0)
        return pa.ipc.open_stream(source).read_all()


def _from_rows(name: str, rows: tables.Dataset, params: ColumnsParams, limit: int | None) -> Dataset:
    schema = rows.schema
    roles = {field: column for field in ("image", "label", "id", "cluster") if (column := getattr(params, field))}
    for field, column in roles.items():
        if column not in schema.names:
            hint = did_you_mean(column, schema.names)
            raise UsageError(f'{field}: {params.path} has no column "{column}"{hint}; it has {", ".join(schema.names)}')
    names = params.class_names or _hugging_face_names(schema, params.label)
    slices = [field.name for field in schema if _is_slice(field) and field.name not in {*roles.values(), *CORE_COLUMNS}]
    wanted = list(dict.fromkeys([*roles.values(), *slices]))
    head = rows.to_table(columns=wanted) if limit is None else rows.head(limit, columns=wanted)
    labels = _labels(head.column(params.label), names, f'label: column "{params.label}"')
    ids = _texts(head, "id", params.id) if params.id else [str(row) for row in range(head.num_rows)]
    clusters = _texts(head, "cluster", params.cluster) if params.cluster else None
    table = make_table(ids, _images(head.column(params.image), ids, params), labels, clusters)
    for column in slices:
        table = table.append_column(column, _plain(head.column(column)))
    return Dataset(
        name=name,
        table=table,
        classes=count_classes(-1 if names else _largest(rows, params.label), params.classes, names),
        classes_stated=bool(params.classes or names),
        class_names=names,
        source=params.path,
    )


def _largest(rows: tables.Dataset, label: str) -> int:
    """Return the largest label of the whole table, so that `limit` does not change how many classes there are."""
    largest = pc.max(rows.to_table(columns=[label]).column(label)).as_py()
    return -1 if largest is None else int(largest)


def _hugging_face_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Return the class names that the `datasets` library keeps in a table's metadata, if any."""
    stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = stored.get("info", {}).get("features", {}).get(label, {})
    return tuple(feature.get("names", ())) if isinstance(feature, dict) else ()


def _is_slice(field: pa.Field) -> bool:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return bool(pa.types.is_primitive(kind)) or _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Undo dictionary encoding: codes mean something in their own file only."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _texts(table: pa.Table, field: str, column: str) -> list[str]:
    _refuse_nulls(table.column(column), f'{field}: column "{column}"')
    return [str(value) for value in table.column(column).to_pylist()]


def _labels(column: pa.ChunkedArray, names: tuple[str, ...], where: str) -> np.ndarray:
    _refuse_nulls(column, where)
    column = _plain(column)
    if _is_text(column.type):
        return named_labels(column.to_pylist(), names, where)
    return integer_labels(column.to_numpy(), where)


def _refuse_nulls(column: pa.ChunkedArray, where: str) -> None:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise UsageError(f"{where} is empty in row {row} ({column.null_count} rows in all); fill or drop them")


def _images(column: pa.ChunkedArray, ids: list[str], params: ColumnsParams) -> np.ndarray:
    where = f'image: column "{params.image}"'
    _refuse_nulls(column, where)
    if not len(column):
        return stack([], ids)
    array = column.combine_chunks()
    if pa.types.is_struct(array.type) and array.type.get_field_index("bytes") >= 0:
        _refuse_nulls(pa.chunked_array([array.field("bytes")]), f"{where}, bytes")
        return _decoded(array.field("bytes"), ids, params, where)
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return _decoded(array, ids, params, where)
    if isinstance(array.type, pa.FixedShapeTensorType):
        return channels_first(array.to_numpy_ndarray(), params.layout, where)
    if _is_list(array.type):
        return channels_first(_unnested(array, params.shape, where), params.layout, where)
    raise UsageError(
        f"{where} is {array.type}; images are encoded files (binary, or a struct with bytes), lists of numbers or tensors"
    )


def _decoded(encoded: pa.Array, ids: list[str], params: ColumnsParams, where: str) -> np.ndarray:
    return stack(
        [
            to_pixels(open_image(image.as_py(), f"{where}, row {row}"), f"{where}, row {row}", **params.shaping())
            for row, image in enumerate(encoded)
        ],
        ids,
    )


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _unnested(array: pa.Array, shape: tuple[int, int, int] | None, where: str) -> np.ndarray:
    """Flatten nested lists to [N, *shape]; without a stated shape the nesting must show it."""
    extents, samples = [], len(array)
    while _is_list(array.type):
        lengths = pc.unique(pc.list_value_length(array)).to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise UsageError(f"{where}: lists differ in length ({lengths[:2]}); bring all images to one size")
        extents.append(lengths[0])
        array = array.flatten()
    if shape is None and len(extents) == 1:
        raise UsageError(f"{where} holds flat lists of {extents[0]:,} numbers; state `shape`, such as [3, 224, 224]")
    shown = shape or extents
    if prod(shown) != prod(extents) or array.null_count:
        raise UsageError(
            f"shape: {where} holds {prod(extents):,} numbers a row, not {list(shown)}, or some are missing"
        )
    numbers: np.ndarray = array.to_numpy(zero_copy_only=False)
    return numbers.reshape(samples, *shown)
