"""Tensors between the host and device memory: quantization and the byte layouts of program.proto.

In: NumPy arrays in their ONNX shape. Out: the bytes that lie in DRAM, and back.
"""

from __future__ import annotations

import math

import numpy as np

from jacquard.proto import program_pb2 as pb

DTYPES: dict[int, np.dtype] = {
    pb.Tensor.INT8: np.dtype("int8"),
    pb.Tensor.UINT8: np.dtype("uint8"),
    pb.Tensor.INT16: np.dtype("<i2"),
    pb.Tensor.INT32: np.dtype("<i4"),
    pb.Tensor.UINT16: np.dtype("<u2"),
}


def steps(tensor: pb.Tensor) -> np.ndarray:
    """The scale of every element: float32, 0-d or one for each index of the tensor's axis."""
    if not tensor.scales:
        return np.float32(tensor.scale)
    axis, scales = tensor.axis, np.array(tensor.scales, np.float32)
    whole = np.repeat(scales, tensor.shape[axis] // scales.size)
    return whole.reshape([-1 if i == axis else 1 for i in range(len(tensor.shape))])


def quantize(values: np.ndarray, tensor: pb.Tensor) -> np.ndarray:
    """ONNX QuantizeLinear: float array -> integers of the tensor's dtype, half to even, saturated.

    The division is done in float32, as ONNX defines it for float32 inputs.
    """
    dtype = DTYPES[tensor.dtype]
    limits = np.iinfo(dtype)
    scaled = np.rint(values.astype(np.float32) / steps(tensor))
    return np.clip(scaled + tensor.zero_point, limits.min, limits.max).astype(dtype)


def dequantize(integers: np.ndarray, tensor: pb.Tensor) -> np.ndarray:
    """ONNX DequantizeLinear: integers -> float32 of the same shape."""
    centred = integers.astype(np.int32) - np.int32(tensor.zero_point)
    return centred.astype(np.float32) * steps(tensor)


def _planes(array: np.ndarray, layout: pb.Layout) -> np.ndarray:
    """ONNX shape -> [channels, height, width]; all but images have their features last."""
    if array.ndim == 4 and not layout.features_last:
        return array.reshape(layout.channels, layout.height, layout.width)
    rows = array.reshape(layout.height * layout.width, layout.channels)
    return rows.T.reshape(layout.channels, layout.height, layout.width)


def _from_planes(planes: np.ndarray, shape: tuple[int, ...], layout: pb.Layout) -> np.ndarray:
    """[channels, height, width] -> the ONNX shape."""
    if len(shape) == 4 and not layout.features_last:
        return planes.reshape(shape)
    return planes.reshape(planes.shape[0], -1).T.reshape(shape)


def rows_shape(tensor: pb.Tensor) -> tuple[int, ...]:
    """Shape of a tensor's bytes: (size_bytes,), or of layout ROWS (rows, bytes of a row)."""
    if tensor.layout.kind != pb.Layout.ROWS:
        return (tensor.size_bytes,)
    rows = tensor.layout.height * tensor.layout.width
    return rows, tensor.size_bytes // rows


def extent_bytes(tensor: pb.Tensor) -> int:
    """From its first byte in DRAM to behind its last; other tensors may lie between."""
    *rows, size = rows_shape(tensor)
    return size + sum((count - 1) * tensor.layout.row_bytes for count in rows)


def pack(array: np.ndarray, tensor: pb.Tensor) -> np.ndarray:
    """Integers in ONNX shape -> uint8[size_bytes], the tensor's bytes in DRAM."""
    dtype, layout = DTYPES[tensor.dtype], tensor.layout
    array = np.ascontiguousarray(array.astype(dtype))
    if layout.kind == pb.Layout.ROWS:
        held = np.zeros(rows_shape(tensor), np.uint8)
        planes = _planes(array, layout).reshape(layout.channels, -1)
        held[:, : layout.channels] = planes.T.view(np.uint8)
        return held.reshape(-1)
    if layout.kind == pb.Layout.LINEAR:
        data = array.reshape(-1).view(np.uint8)
    elif layout.kind == pb.Layout.BLOCKED:
        planes = _planes(array, layout)
        tiles = -(-layout.channels // layout.block)
        padded = np.zeros((tiles * layout.block, *planes.shape[1:]), dtype)
        padded[: layout.channels] = planes
        blocked = padded.reshape(tiles, layout.block, *planes.shape[1:]).transpose(0, 2, 3, 1)
        data = np.ascontiguousarray(blocked).view(np.uint8).reshape(-1)
    else:
        planes = _planes(array, layout)
        rows = layout.pad_top + layout.height + layout.pad_bottom
        image = np.full((rows, layout.row_bytes // dtype.itemsize), tensor.zero_point, dtype)
        inner = planes.transpose(1, 2, 0).reshape(layout.height, -1)
        left = layout.pad_left * layout.channels
        image[layout.pad_top : layout.pad_top + layout.height, left : left + inner.shape[1]] = inner
        data = image.view(np.uint8).reshape(-1)
    out = np.zeros(tensor.size_bytes, np.uint8)
    out[: data.size] = data
    return out


def unpack(data: np.ndarray, tensor: pb.Tensor) -> np.ndarray:
    """uint8[extent_bytes] as it lies in DRAM -> integers in the tensor's ONNX shape."""
    if tensor.layout.kind == pb.Layout.ROWS:
        data = np.ascontiguousarray(data)
        apart = tensor.layout.row_bytes
        data = np.ndarray(rows_shape(tensor), np.uint8, data, 0, (apart, 1))
    return unpack_rows(data, tensor)


def unpack_rows(data: np.ndarray, tensor: pb.Tensor) -> np.ndarray:
    """A tensor's own bytes, uint8 of `rows_shape` -> integers in the tensor's ONNX shape."""
    dtype, layout = DTYPES[tensor.dtype], tensor.layout
    shape = tuple(tensor.shape)
    if layout.kind == pb.Layout.ROWS:
        planes = np.ascontiguousarray(data[:, : layout.channels]).view(dtype).T
        return _from_planes(planes.reshape(layout.channels, layout.height, layout.width), shape,
                            layout)
    if layout.kind == pb.Layout.LINEAR:
        count = math.prod(shape)
        return np.frombuffer(data[: count * dtype.itemsize].tobytes(), dtype).reshape(shape)
    if layout.kind != pb.Layout.BLOCKED:
        raise ValueError(f"tensor {tensor.name}: packed tensors are not read back")
    tiles = -(-layout.channels // layout.block)
    count = tiles * layout.height * layout.width * layout.block
    blocked = np.frombuffer(data[: count * dtype.itemsize].tobytes(), dtype)
    blocked = blocked.reshape(tiles, layout.height, layout.width, layout.block)
    planes = blocked.transpose(0, 3, 1, 2).reshape(-1, layout.height, layout.width)
    return _from_planes(planes[: layout.channels], tuple(tensor.shape), layout)
