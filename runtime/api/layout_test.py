"""Layouts: addresses written out by hand, and round trips."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.api import layout


def blocked(shape, channels, height, width, block, dtype=pb.Tensor.UINT8, last=False):
    tiles = -(-channels // block)
    size = tiles * block * height * width * layout.DTYPES[dtype].itemsize
    form = pb.Layout(
        kind=pb.Layout.BLOCKED,
        channels=channels,
        height=height,
        width=width,
        block=block,
        features_last=last,
    )
    return pb.Tensor(name="t", shape=shape, dtype=dtype, size_bytes=size, layout=form)


def test_blocked_image_puts_channel_c_of_pixel_yx_where_program_proto_says():
    tensor = blocked([1, 5, 2, 3], 5, 2, 3, 4)
    array = np.arange(30, dtype=np.uint8).reshape(1, 5, 2, 3)
    data = layout.pack(array, tensor)
    for c in range(5):
        for y in range(2):
            for x in range(3):
                assert data[((c // 4 * 2 + y) * 3 + x) * 4 + c % 4] == array[0, c, y, x]


def test_matrix_has_its_features_as_channels_and_its_rows_as_width():
    tensor = blocked([3, 6], 6, 1, 3, 4)
    array = np.arange(18, dtype=np.uint8).reshape(3, 6)
    data = layout.pack(array, tensor)
    for row in range(3):
        for feature in range(6):
            assert data[(feature // 4 * 3 + row) * 4 + feature % 4] == array[row, feature]


def test_heads_have_their_features_as_channels_where_the_layout_says_so():
    tensor = blocked([1, 2, 3, 6], 6, 1, 6, 4, pb.Tensor.INT16, last=True)
    array = (np.arange(36, dtype=np.int16) * 900).reshape(1, 2, 3, 6)
    data = layout.pack(array, tensor)
    for head in range(2):
        for row in range(3):
            for feature in range(6):
                at = 2 * ((feature // 4 * 6 + head * 3 + row) * 4 + feature % 4)
                low, high = int(data[at]), int(data[at + 1])
                assert low + 256 * high == array[0, head, row, feature]


def test_heads_have_scales_of_their_own():
    """Equal parts of a dimension, whichever it is."""
    values = np.array([[3, -2, 3, 100], [0.5, 1, -100, 2]], np.float32)
    for axis, real in ((1, values), (0, values.T)):
        tensor = pb.Tensor(shape=real.shape, dtype=pb.Tensor.INT8, scale=1,
                           scales=[0.25, 1], axis=axis)
        found = layout.quantize(real, tensor)
        expected = np.array([[12, -8, 3, 100], [2, 4, -100, 2]], np.int8)
        np.testing.assert_array_equal(found, expected if axis else expected.T)
        np.testing.assert_array_equal(layout.dequantize(found, tensor), real)


def test_linear_tensor_lies_in_onnx_order():
    form = pb.Layout(kind=pb.Layout.LINEAR)
    tensor = pb.Tensor(
        name="ids", shape=[2, 3], dtype=pb.Tensor.INT32, size_bytes=32, layout=form
    )
    ids = np.array([[1, 256, 3], [70000, 5, 6]], np.int64)
    data = layout.pack(ids, tensor)
    assert data[:12].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0]
    assert data[12:16].tolist() == [0x70, 0x11, 1, 0]
    assert data[24:].tolist() == [0] * 8
    np.testing.assert_array_equal(layout.unpack(data, tensor), ids)


def test_packed_image_is_surrounded_by_its_zero_point():
    form = pb.Layout(
        kind=pb.Layout.PACKED,
        channels=3,
        height=2,
        width=2,
        pad_top=1,
        pad_left=1,
        pad_bottom=1,
        pad_right=1,
        row_bytes=16,
    )
    tensor = pb.Tensor(
        name="t",
        shape=[1, 3, 2, 2],
        dtype=pb.Tensor.UINT8,
        zero_point=9,
        size_bytes=64,
        layout=form,
    )
    array = np.arange(100, 112, dtype=np.uint8).reshape(1, 3, 2, 2)
    image = layout.pack(array, tensor).reshape(4, 16)
    assert image[1, 3:9].tolist() == [100, 104, 108, 101, 105, 109]
    assert image[2, 3:9].tolist() == [102, 106, 110, 103, 107, 111]
    rest = np.ones_like(image, bool)
    rest[1:3, 3:9] = False
    assert (image[rest] == 9).all()


@given(
    channels=st.integers(1, 40),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    block=st.sampled_from([4, 16]),
    dtype=st.sampled_from(sorted(layout.DTYPES)),
    last=st.booleans(),
)
def test_unpack_undoes_pack(channels, height, width, block, dtype, last):
    if last:
        shape = [1, height, width, channels]
        tensor = blocked(shape, channels, 1, height * width, block, dtype, last)
    else:
        shape = [1, channels, height, width]
        tensor = blocked(shape, channels, height, width, block, dtype)
    limits = np.iinfo(layout.DTYPES[dtype])
    array = (
        np.random.default_rng(channels)
        .integers(limits.min, limits.max, shape, endpoint=True)
        .astype(layout.DTYPES[dtype])
    )
    np.testing.assert_array_equal(layout.unpack(layout.pack(array, tensor), tensor), array)


def test_quantize_rounds_half_to_even_and_saturates():
    tensor = pb.Tensor(dtype=pb.Tensor.UINT8, scale=0.5, zero_point=10)
    values = np.array([0.25, 0.75, -0.25, 1000.0, -1000.0], np.float32)
    assert layout.quantize(values, tensor).tolist() == [10, 12, 10, 255, 0]


def test_rows_lie_apart_and_channels_side_by_side():
    form = pb.Layout(kind=pb.Layout.ROWS, channels=5, height=1, width=3, row_bytes=20)
    tensor = pb.Tensor(name="t", shape=[1, 3, 5], dtype=pb.Tensor.INT8, size_bytes=24, layout=form)
    assert layout.rows_shape(tensor) == (3, 8) and layout.extent_bytes(tensor) == 48
    array = np.arange(-7, 8, dtype=np.int8).reshape(1, 3, 5)
    rows = layout.pack(array, tensor).reshape(3, 8)
    dram = np.full(60, 99, np.uint8)
    for p in range(3):
        assert rows[p].view(np.int8).tolist() == [*array[0, p].tolist(), 0, 0, 0]
        dram[p * 20 : p * 20 + 8] = rows[p]
    np.testing.assert_array_equal(layout.unpack_rows(rows, tensor), array)
    np.testing.assert_array_equal(layout.unpack(dram[: layout.extent_bytes(tensor)], tensor), array)
