"""Exports the benchmark graphs with torch.onnx and strips their weights.

Run by hand, never by the build; needs torch==2.13.0 and onnxscript beside onnx (README.md). The
definitions are the standard ones: LeNet-5, and ResNet v1.5 (stride in the 3x3 convolution of a
bottleneck), of which `tinyresnet` is a narrow, shallow copy.

    python -m jacquard.benchmarks.models.export.export_models --output_dir benchmarks/models/graphs
"""

import io
import pathlib
from collections import OrderedDict

import onnx
import torch
from absl import app, flags
from google.protobuf import text_format
from torch import nn

from jacquard.benchmarks.models.export.committed import apply_names

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "where the graphs go", required=True)


class LeNet(nn.Sequential):
    """LeNet-5 with ReLU and max pooling, 1x28x28 -> 10."""

    def __init__(self) -> None:
        super().__init__(OrderedDict(
            conv1=nn.Conv2d(1, 6, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(400, 120), relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84), relu4=nn.ReLU(),
            fc3=nn.Linear(84, 10),
        ))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride: v1.5), 1x1 to four times the width, and the shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != wide:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Sequential):
    """ResNet v1.5 with bottlenecks; `ResNet((3, 4, 6, 3), 64, 1000)` is ResNet50."""

    def __init__(self, depths: tuple[int, ...], width: int, classes: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(3, width, 7, 2, 3, bias=False), bn1=nn.BatchNorm2d(width),
            relu=nn.ReLU(), maxpool=nn.MaxPool2d(3, 2, 1),
        )
        channels = width
        for stage, depth in enumerate(depths):
            blocks = []
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(channels, width << stage, stride))
                channels = 4 * (width << stage)
            layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
        layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["fc"] = nn.Linear(channels, classes)
        super().__init__(layers)


class MixNet(nn.Module):
    """Small, and of everything one: depthwise, ReLU6, leaky ReLU, a batch norm of its own,
    nearest resize, split, subtract, concat, average pools with and without padding, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.pointwise = nn.Conv2d(16, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional = nn.functional
        x = functional.relu6(self.depthwise(functional.relu6(self.conv1(x))))
        x = functional.leaky_relu(self.grouped(self.pointwise(x)), 0.1)
        x = functional.interpolate(self.norm(x), scale_factor=2)
        left, right = torch.chunk(x, 2, 1)
        x = torch.cat([left, right - left], 1)
        x = x * torch.relu(self.gate(functional.adaptive_avg_pool2d(x, 1)))
        x = functional.max_pool2d(functional.avg_pool2d(x, 3, 2, 1), 2, 2, ceil_mode=True)
        return self.fc(functional.adaptive_avg_pool2d(x, (2, 2)).flatten(1))


MODELS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "lenet": (LeNet(), (1, 1, 28, 28)),
    "tinyresnet": (ResNet((2, 2), 16, 10), (1, 3, 32, 32)),
    "mixnet": (MixNet(), (1, 3, 32, 32)),
    "resnet50": (ResNet((3, 4, 6, 3), 64, 1000), (1, 3, 224, 224)),
}


LAYERS = ("Conv", "Gemm", "MatMul", "BatchNormalization")


def export(module: nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    """The graph as torch.onnx gives it, without weights and without stack traces."""
    torch.manual_seed(0)
    for parameter in module.parameters():  # equal initializers would be merged into one
        nn.init.normal_(parameter)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)
    buffer = io.BytesIO()
    program = torch.onnx.export(
        module.eval(), (torch.zeros(shape),), input_names=["input"], output_names=["output"],
        dynamo=True,
    )
    assert program is not None
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    return strip(model)


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drops weights, metadata and inferred shapes; names nodes after the modules they come from."""
    for proto in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                  *model.graph.initializer):
        proto.ClearField("doc_string")
        proto.ClearField("metadata_props")
    del model.graph.value_info[:]
    weights = {
        name for node in model.graph.node if node.op_type in LAYERS for name in node.input[1:]
    }
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
            tensor.ClearField("external_data")
    rename(model.graph)
    return model


def rename(graph: onnx.GraphProto) -> None:
    """A layer with weights, and its result, carry its module's name, which reports show."""
    results = {output.name for output in graph.output}
    names: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            node.name = node.input[1].removesuffix(".weight")
            if node.output[0] not in results:
                names[node.output[0]] = node.name
    apply_names(graph, names)


def main(argv: list[str]) -> None:
    del argv
    for name, (module, shape) in MODELS.items():
        model = export(module, shape)
        path = pathlib.Path(_OUTPUT_DIR.value) / f"{name}.textproto"
        path.write_text(text_format.MessageToString(model))
        print(f"{path}: {len(model.graph.node)} nodes, {path.stat().st_size} bytes")


if __name__ == "__main__":
    app.run(main)
