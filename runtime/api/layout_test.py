"""Layouts: addresses written out by hand, and round trips."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.api import layout


def blocked(shape, channels, height, width, block, dtype=pb.Tensor.UINT8):
    tiles = -(-channels // block)
    size = tiles * block * height * width * layout.DTYPES[dtype].itemsize
    form = pb.Layout(
        kind=pb.Layout.BLOCKED, channels=channels, height=height, width=width, block=block
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
    dtype=st.sampled_from([pb.Tensor.INT8, pb.Tensor.UINT8, pb.Tensor.INT16, pb.Tensor.INT32]),
)
def test_unpack_undoes_pack(channels, height, width, block, dtype):
    tensor = blocked([1, channels, height, width], channels, height, width, block, dtype)
    limits = np.iinfo(layout.DTYPES[dtype])
    array = (
        np.random.default_rng(channels)
        .integers(limits.min, limits.max, (1, channels, height, width), endpoint=True)
        .astype(layout.DTYPES[dtype])
    )
    np.testing.assert_array_equal(layout.unpack(layout.pack(array, tensor), tensor), array)


def test_quantize_rounds_half_to_even_and_saturates():
    tensor = pb.Tensor(dtype=pb.Tensor.UINT8, scale=0.5, zero_point=10)
    values = np.array([0.25, 0.75, -0.25, 1000.0, -1000.0], np.float32)
    assert layout.quantize(values, tensor).tolist() == [10, 12, 10, 255, 0]
