"""Bounds of ResNet50 v1.5 at 224 x 224, from its shapes alone, against figures found elsewhere."""

from __future__ import annotations

import dataclasses

import pytest

from jacquard.proto.lib.arch import Arch, load_config
from jacquard.sim.timing.bounds import array_cycles, layer_floor, roofline_cycles, transfer_cycles


def _resnet50() -> list[tuple[int, int, int, int, int, int]]:
    """Convolutions and the classifier: (positions, taps, channels in, out, bytes in, bytes out)."""
    # First convolution, seven rows of 21 = 7 columns x 3 channels, the max pool fused behind it.
    layers = [(112 * 112, 7, 21, 64, 3 * 224 * 224, 64 * 56 * 56)]
    channels, size = 64, 56
    for blocks, width, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            before, after = size * size, (size // step) ** 2
            out = 4 * width
            layers.append((before, 1, channels, width, before * channels, before * width))
            layers.append((after, 9, width, width, before * width, after * width))
            # The residual is read beside the input of the last convolution of the block.
            layers.append((after, 1, width, out, after * (width + out), after * out))
            if block == 0:
                layers.append((after, 1, channels, out, before * channels, after * out))
            channels, size = out, size // step
    layers.append((1, 1, 2048, 1000, 2048, 1000))
    return layers


def _arch(array: int) -> Arch:
    edge16 = load_config("edge16")
    return dataclasses.replace(edge16, rows=array, cols=array, lanes=array, bytes_per_cycle=array)


@pytest.mark.parametrize(("array", "millions"), [(16, 16.34), (32, 4.14), (64, 1.24)])
def test_layer_floor_of_resnet50(array: int, millions: float) -> None:
    arch = _arch(array)
    total = 0
    for positions, taps, cin, cout, bytes_in, bytes_out in _resnet50():
        weights = taps * cin * cout
        passes = array_cycles(positions, taps, cin, cout, arch)
        total += layer_floor(passes, bytes_in + bytes_out + weights, arch)
    assert total / 1e6 == pytest.approx(millions, rel=0.01)


def test_roofline_of_resnet50_is_its_multiplications() -> None:
    layers = _resnet50()
    macs = sum(p * taps * cin * cout for p, taps, cin, cout, _, _ in layers)
    assert macs / 1e9 == pytest.approx(4.09, abs=0.005)
    weights = sum(taps * cin * cout for _, taps, cin, cout, _, _ in layers)
    edge16 = load_config("edge16")
    assert roofline_cycles(macs, weights + 3 * 224 * 224 + 1000, edge16) == macs // 256


def test_roofline_of_a_vector_matrix_product_is_its_bytes() -> None:
    nano4 = load_config("nano4")
    assert roofline_cycles(1000 * 1000, 1000 * 1000 + 2000, nano4) == 1_002_000 // 4


def test_partial_beats_and_tiles_count_as_whole() -> None:
    nano4 = load_config("nano4")
    assert transfer_cycles(9, nano4) == 3
    assert array_cycles(3, 1, 5, 1, nano4) == 2 * 4  # two passes, each no shorter than the array
    assert layer_floor(8, 100, nano4) == 25
