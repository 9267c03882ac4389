"""The order in which a float graph is brought to canonical nodes.

A rule that matches nothing leaves its nodes as they are; what is not recognised runs as its parts.
"""

from collections.abc import Callable

import onnx
from onnx import version_converter

from jacquard.compiler.frontend.fold import fold_constants, without_weights
from jacquard.compiler.frontend.load import name_nodes
from jacquard.compiler.frontend.patterns import (
    attention,
    axes,
    constants,
    fused,
    gelu,
    linear,
    mask,
    movement,
    normalization,
    rotary,
    rotary_rows,
)
from jacquard.compiler.frontend.patterns.view import View
from jacquard.proto.lib.errors import UserError

Rule = Callable[[View], bool]

# In this order, again and again until none applies.
RULES: tuple[tuple[Rule, str], ...] = (
    (fused.expand_attention, "one form for the rules below"),
    (constants.constants_second, "the rules below look for a constant in one place"),
    (axes.constants_right, "before the movements: leaves Transposes"),
    (axes.softmax_last, "as well"),
    (axes.norms_last, "as well, of Reshapes"),
    (axes.reductions_apart, "as well"),
    (axes.powers_of_constants, "an Exp reads what a Mul gives"),
    (axes.choices_of_one_comparison, "conditions of activations, none of a mask"),
    (constants.quotients_to_products, "a scale is a factor"),
    (mask.drop_neutral_logic, "leaves an Expand, which the next but one takes away"),
    (mask.drop_casts, "of booleans to boolean, between two views of a mask"),
    (mask.casts_first, "before merge_views: the views of a mask meet behind its Cast"),
    (mask.sink_expands, "scores broadcast the mask themselves"),
    (movement.transposes_of_last_axes, "before merge_views, which would take its Reshape apart"),
    (linear.unflatten_gemms, "leaves Reshapes for the next"),
    (movement.merge_views, "several steps of a mask's new axes, and of heads"),
    (movement.merge_transposes, "that of the heads and that of K"),
    (mask.share, "after the mask has one form: once for all layers"),
    (attention.drop_nan_guards, "shows the Softmax to whom it feeds"),
    (linear.split_layers, "gives Q a layer of its own for the next"),
    (rotary_rows.rotate_rows, "in front of the split of heads; its factors are constants or rows"),
    (attention.merge_scales, "after the movements, through which it looks"),
    (gelu.fold_gelu, "before fold_gated: both begin with a Mul"),
    (gelu.fold_gated, "of what no Gelu has taken"),
    (normalization.fold_layer_norm, "before fold_rms_norm, of which it is a special case"),
    (normalization.fold_rms_norm, "of what has no mean taken off"),
    (constants.merge_added_constants, "after folding has made two of the embeddings constant"),
    (mask.split_biases, "last, where no two constants follow each other"),
)
_ROUNDS = 16
# Operators that say that the rules may find something, and the opset that their results need: 20
# for Gelu, 21 for 16-bit QuantizeLinear, 23 for RMSNormalization, 24 for Swish.
_SIGNS = {
    "Erf": 21, "Gelu": 21, "LayerNormalization": 21, "Softmax": 21, "Tanh": 21, "Gather": 21,
    "RMSNormalization": 23, "Sqrt": 24, "Pow": 24, "Sigmoid": 24, "HardSigmoid": 21, "Swish": 24,
    "Attention": 23, "Where": 21, "ReduceMax": 21, "ReduceMin": 21, "ReduceSum": 21,
}
_OF_PRODUCTS = 21  # of a constant on the left
_IR_VERSIONS = {21: 10, 23: 11, 24: 11}


def normalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` (float, folded, shapes inferred) with its patterns as canonical nodes.

    A graph without any of the operators that patterns are made of is returned as it is.

    Raises:
      UserError: the model cannot be raised to the opset of the canonical nodes.
    """
    opset = max((_SIGNS.get(node.op_type, 0) for node in model.graph.node), default=0)
    view = View(model.graph)
    if any(axes.constant_left(view, node) for node in model.graph.node):
        opset = max(opset, _OF_PRODUCTS)
    if not opset:
        return model
    model = fold_constants(raised(model, opset))  # the converter leaves Constant nodes
    name_nodes(model.graph)
    for _ in range(_ROUNDS):
        view = View(model.graph)
        changed = movement.selections_to_views(view, model)
        changed |= rotary.tabulate_rotations(view, model)
        for rule, _reason in RULES:
            changed |= rule(view)
        view.commit()
        model = fold_constants(model)
        if not changed:
            break
    return model


def raised(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """`model` at `opset`, if it is older."""
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if version >= opset:
        return model
    try:
        result = version_converter.convert_version(without_weights(model), opset)
    except Exception as error:  # the converter's errors are RuntimeError and worse
        raise UserError(
            f"model: opset {version} must be convertible to {opset}, got: "
            f"{' '.join(str(error).split())}; export it with opset {opset} or above"
        ) from error
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for tensor in result.graph.initializer:
        if tensor.name in tensors:
            tensor.CopyFrom(tensors[tensor.name])
    result.ir_version = max(result.ir_version, _IR_VERSIONS.get(opset, 8))
    return result
