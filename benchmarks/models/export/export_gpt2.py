"""Exports decoders with torch.onnx from the transformers reference, without their weights.

GPT-2: a prefill (`input_ids` [1, S]; logits of the last position, keys and values of all), and a
decode step (one id, its position, past keys and values, a mask over past and present). Llama-style:
the same two of a small decoder with rotary embeddings, RMSNorm, SwiGLU and grouped queries. Prompts
that are shorter than S are padded behind: causal attention hides the padding from what precedes it.

Run by hand, never by the build; needs what export_bert.py does (../README.md).

    python -m jacquard.benchmarks.models.export.export_gpt2 --output_dir benchmarks/models/graphs
"""

import io
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from absl import app, flags
from google.protobuf import text_format
from onnx import numpy_helper
from torch import nn
from transformers import (
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
)

from jacquard.benchmarks.models.export.committed import apply_names, strip

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "where the graphs go", required=True)
_ONLY = flags.DEFINE_list("only", None, "names of graphs; all by default")


@dataclass(frozen=True)
class Case:
    """A graph to be made: the model, positions of the prompt, of the cache (0: prefill)."""

    config: PreTrainedConfig
    sequence: int
    past: int = 0
    dynamo: bool = True


GPT2 = GPT2Config()  # 12 layers, width 768, 12 heads, 50257 words, 1024 positions
TINY = GPT2Config(vocab_size=512, n_embd=64, n_layer=2, n_head=2, n_positions=64)
LLAMA = LlamaConfig(
    vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=176, max_position_embeddings=64,
    tie_word_embeddings=False,
)
CASES = {
    "gpt2_prefill": Case(GPT2, 128),
    "gpt2_decode": Case(GPT2, 1, 128),
    "gpt2_tiny2_prefill": Case(TINY, 32),
    "gpt2_tiny2_prefill_torchscript": Case(TINY, 32, dynamo=False),
    "gpt2_tiny2_decode": Case(TINY, 1, 32),
    "gpt2_tiny2_decode_64": Case(TINY, 1, 64),
    "gpt2_tiny2_decode_torchscript": Case(TINY, 1, 32, dynamo=False),
    "llama_tiny2_prefill": Case(LLAMA, 32),
    "llama_tiny2_decode": Case(LLAMA, 1, 32),
}


class Prefill(nn.Module):
    """Logits of the last position [1, 1, words], then each layer's key and value."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = self.model(input_ids=ids, use_cache=True, logits_to_keep=1)
        return result.logits, *_flat(result.past_key_values)


class Decode(nn.Module):
    """One position: its logits, then each layer's keys and values, past and present."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        result = self.model(
            input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache,
            use_cache=True,
        )
        return result.logits, *_flat(result.past_key_values)


def _flat(cache: DynamicCache) -> list[torch.Tensor]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def export(case: Case) -> onnx.ModelProto:
    """The graph as torch.onnx gives it, without weights and without stack traces."""
    torch.manual_seed(0)
    config = case.config
    kind = LlamaForCausalLM if isinstance(config, LlamaConfig) else GPT2LMHeadModel
    reference = kind(config).eval()
    for parameter in reference.parameters():
        nn.init.normal_(parameter, std=0.1)
    layers = range(config.num_hidden_layers)
    cache_names = [f"{i}.{kind}" for i in layers for kind in ("key", "value")]
    ids = torch.randint(0, config.vocab_size, (1, case.sequence))
    module: nn.Module
    inputs: Sequence[torch.Tensor]
    if case.past:
        module = Decode(reference)
        mask = torch.ones(1, case.past + 1, dtype=torch.long)
        mask[0, case.past // 2: case.past] = 0
        heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        size = config.hidden_size // config.num_attention_heads
        past = [torch.randn(1, heads, case.past, size) for _ in cache_names]
        inputs = (ids, mask, torch.tensor([[case.past // 2]]), *past)
        input_names = ["input_ids", "attention_mask", "position_ids"]
        input_names += [f"past.{name}" for name in cache_names]
    else:
        module, inputs, input_names = Prefill(reference), (ids,), ["input_ids"]
    buffer = io.BytesIO()
    program = torch.onnx.export(
        module.eval(), tuple(inputs), None if case.dynamo else buffer, input_names=input_names,
        output_names=["logits", *(f"present.{name}" for name in cache_names)], dynamo=case.dynamo,
    )
    if program is not None:
        program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    learned = name_weights(model.graph, reference)
    strip(model, {t.name for t in model.graph.initializer} - learned)
    name_layers(model.graph, learned)
    return model


def name_weights(graph: onnx.GraphProto, reference: nn.Module) -> set[str]:
    """Gives weights their parameter's name, whichever exporter and graph; returns these names.

    What follows the name says what was done to it: `.T` transposed, `.rows` the first rows alone.
    Other floats, masks and rotary tables, are computed.
    """
    parameters = {name: value.detach().numpy() for name, value in reference.named_parameters()}
    names: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims:
            continue
        values = numpy_helper.to_array(tensor)
        for name, parameter in parameters.items():
            for suffix, form in (("", parameter), (".T", parameter.T),
                                 (".rows", parameter[None, : values.shape[-2:][0]])):
                if form.shape == values.shape and (form == values).all():
                    names.setdefault(tensor.name, name + suffix)
    assert len(set(names.values())) == len(names)
    apply_names(graph, names)
    return set(names.values())


def name_layers(graph: onnx.GraphProto, learned: set[str]) -> None:
    """Layers, and their results carry their module's name."""
    turned = {node.output[0]: f"{node.input[0]}.T" for node in graph.node
              if node.op_type == "Transpose" and node.input[0] in learned}
    apply_names(graph, turned)
    learned = learned | set(turned.values())
    names: dict[str, str] = {}
    results = {output.name for output in graph.output}
    for node in graph.node:
        if node.op_type in ("Gemm", "LayerNormalization", "MatMul") and node.input[1] in learned:
            module = node.input[1].removesuffix(".T").removesuffix(".weight")
            node.name = module
            if node.output[0] not in results:
                names[node.output[0]] = module
    apply_names(graph, names)


def main(argv: list[str]) -> None:
    del argv
    for name, case in CASES.items():
        if _ONLY.value is not None and name not in _ONLY.value:
            continue
        model = export(case)
        path = pathlib.Path(_OUTPUT_DIR.value) / f"{name}.textproto"
        path.write_text(text_format.MessageToString(model))
        print(f"{path}: {len(model.graph.node)} nodes, {path.stat().st_size} bytes")


if __name__ == "__main__":
    app.run(main)
