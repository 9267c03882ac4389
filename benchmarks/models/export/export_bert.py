"""Exports BERT graphs with torch.onnx from the transformers reference and strips their weights.

Run by hand, never by the build; needs torch==2.13.0, transformers==5.23.0 and onnxscript beside
onnx (../README.md). Every parameter is random before the export: equal initializers, such as
biases of 0 and gammas of 1, would be merged into one.

    python -m jacquard.benchmarks.models.export.export_bert --output_dir benchmarks/models/graphs
"""

import io
import pathlib
from dataclasses import dataclass

import onnx
import torch
from absl import app, flags
from google.protobuf import text_format
from torch import nn
from transformers import BertConfig, BertModel
from transformers.masking_utils import create_bidirectional_mask

from jacquard.benchmarks.models.export.committed import apply_names, strip

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "where the graphs go", required=True)


@dataclass(frozen=True)
class Case:
    """A graph to be made: the model's sizes, the sequence's length, which exporter, whether of the
    encoder alone."""

    config: BertConfig
    sequence: int
    dynamo: bool = True
    encoder: bool = False


BASE = BertConfig()  # 12 layers, hidden size 768, 12 heads, 30522 words, 512 positions
TINY = BertConfig(
    vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=256, max_position_embeddings=64,
)
CASES = {
    "bert_base": Case(BASE, 128),
    "bert_block": Case(BertConfig(num_hidden_layers=1), 128, encoder=True),
    "bert_tiny2": Case(TINY, 32),
    "bert_tiny2_torchscript": Case(TINY, 32, dynamo=False),
}


class Bert(nn.Module):
    """The reference model, its results in a tuple; named `bert`, as in the library's heads."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        result = self.bert(input_ids=ids, attention_mask=mask)
        return result.last_hidden_state, result.pooler_output


class Encoder(nn.Module):
    """The reference's encoder layers alone, named as in the whole model."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = nn.Module()
        self.bert.encoder = BertModel(config).encoder

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        added = create_bidirectional_mask(self.config, hidden, mask)
        return self.bert.encoder(hidden, added).last_hidden_state


def export(case: Case) -> onnx.ModelProto:
    """The graph as torch.onnx gives it, without weights and without stack traces."""
    torch.manual_seed(0)
    module = (Encoder if case.encoder else Bert)(case.config).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)
    if case.encoder:
        read = {"embedding": torch.randn(1, case.sequence, case.config.hidden_size)}
        outputs = ["hidden_states"]
    else:
        read = {"input_ids": torch.randint(0, case.config.vocab_size, (1, case.sequence))}
        outputs = ["hidden_states", "pooled"]
    mask = torch.ones(1, case.sequence, dtype=torch.long)
    mask[0, case.sequence // 2:] = 0  # a mask that is all ones may be taken for a constant
    buffer = io.BytesIO()
    program = torch.onnx.export(
        module, (*read.values(), mask), None if case.dynamo else buffer,
        input_names=[*read, "attention_mask"], output_names=outputs, dynamo=case.dynamo,
    )
    if program is not None:
        program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    strip(model)
    rename(model.graph)
    return model


def rename(graph: onnx.GraphProto) -> None:
    """Linear layers, their weights and results carry their module's name, whichever exporter."""
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    readers = {name: node for node in graph.node for name in node.input}
    results = {output.name for output in graph.output}
    names: dict[str, str] = {}
    for node in graph.node:
        bias = ""
        if node.op_type == "Gemm":
            bias = node.input[2]
        elif node.op_type == "MatMul" and node.input[1] in weights:
            bias = next(n for n in readers[node.output[0]].input if n.endswith(".bias"))
        elif node.op_type == "LayerNormalization":
            bias = node.input[2]
        if not bias:
            continue
        module = bias.removesuffix(".bias").removeprefix("bert.")
        node.name = module
        names[node.input[1]] = f"bert.{module}.weight"
        if node.output[0] not in results:
            names[node.output[0]] = module
        if node.op_type == "MatMul":
            add = readers[node.output[0]]
            add.name = names[add.output[0]] = f"{module}.bias"
            names[node.output[0]] = f"{module}.product"
    assert len(set(names.values())) == len(names)
    apply_names(graph, names)


def main(argv: list[str]) -> None:
    del argv
    for name, case in CASES.items():
        model = export(case)
        path = pathlib.Path(_OUTPUT_DIR.value) / f"{name}.textproto"
        path.write_text(text_format.MessageToString(model))
        print(f"{path}: {len(model.graph.node)} nodes, {path.stat().st_size} bytes")


if __name__ == "__main__":
    app.run(main)
