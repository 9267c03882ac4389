"""Activation functions that exporters write as several nodes, as one: Gelu, Swish, HardSwish.

Products are compared as products: exporters bracket 0.5 * x * (1 + erf(...)) in every way.
"""

import math

import onnx

from jacquard.compiler.frontend.patterns.view import View, attributes_of

_CUBIC = 0.044715
_DEPTH = 6
_WITHIN = ("Add", "Mul", "Div", "Pow")


def fold_gelu(view: View) -> bool:
    """0.5 x (1 + erf(x / sqrt 2)), and 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in ("Mul", "Div"):
            continue
        for source in _sources(view, node):
            form = _form(view, *_product(view, node.output[0], source), source)
            if form:
                made = view.make("Gelu", [source], node.output[0], node.name, approximate=form)
                view.replace(node, [made])
                changed = True
                break
    return changed


def fold_gated(view: View) -> bool:
    """x * Sigmoid(a x) is Swish; x * HardSigmoid(x) of slope 1/6 is HardSwish."""
    changed = False
    for node in list(view.nodes):
        if node.op_type != "Mul" or len(node.input) != 2:
            continue
        for source, gate in (node.input, tuple(node.input)[::-1]):
            hard = view.producer(gate, "HardSigmoid")
            soft = view.producer(gate, "Sigmoid")
            made = None
            if hard is not None and hard.input[0] == source:
                given = attributes_of(hard)
                slope, offset = given.get("alpha", 0.2), given.get("beta", 0.5)
                if abs(slope - 1 / 6) < 1e-6 and abs(offset - 0.5) < 1e-6:
                    made = view.make("HardSwish", [source], node.output[0], node.name)
            elif soft is not None:
                scale, factors = _product(view, soft.input[0], source)
                if factors == [source]:
                    given = {} if scale == 1.0 else {"alpha": scale}
                    made = view.make("Swish", [source], node.output[0], node.name, **given)
            if made is not None:
                view.replace(node, [made])
                changed = True
                break
    return changed


def _sources(view: View, node: onnx.NodeProto) -> list[str]:
    """What x may be: the names below the Erf or Tanh of a product, few steps deep."""
    found: dict[str, None] = {}
    for factor in _product(view, node.output[0])[1]:
        inner = _one_plus(view, factor)
        gate = None if inner is None else view.producer(inner, "Erf", "Tanh")
        level = [] if gate is None else [gate.input[0]]
        for _ in range(_DEPTH):
            above = [n for name in level if (n := view.producer(name, *_WITHIN)) is not None]
            level = [name for n in above for name in n.input if name not in view.tensors]
            found.update(dict.fromkeys(level))
    return list(found)


def _form(view: View, scale: float, factors: list[str], source: str) -> str:
    """Of 0.5 * x * (1 + gate): "none" or "tanh"; empty if the product is something else."""
    if abs(scale - 0.5) > 1e-4 or len(factors) != 2 or source not in factors:
        return ""
    gate = _one_plus(view, factors[1 - factors.index(source)])
    node = None if gate is None else view.producer(gate, "Erf", "Tanh")
    if node is None:
        return ""
    if node.op_type == "Tanh":
        return "tanh" if _is_tanh_argument(view, node.input[0], source) else ""
    step, rest = _product(view, node.input[0], source)
    return "none" if rest == [source] and abs(step - math.sqrt(0.5)) < 1e-4 else ""


def _is_tanh_argument(view: View, name: str, source: str) -> bool:
    """sqrt(2 / pi) * (x + c x^3), or sqrt(2 / pi) * x * (1 + c x^2)."""
    step, factors = _product(view, name, source)
    if abs(step - math.sqrt(2 / math.pi)) > 1e-4:
        return False
    if len(factors) == 1:
        add = view.producer(factors[0], "Add")
        return add is not None and any(
            left == source and _is_power(view, right, source, 3)
            for left, right in (add.input, tuple(add.input)[::-1])
        )
    if len(factors) == 2 and source in factors:
        square = _one_plus(view, factors[1 - factors.index(source)])
        return square is not None and _is_power(view, square, source, 2)
    return False


def _is_power(view: View, name: str, source: str, exponent: int) -> bool:
    scale, factors = _product(view, name, source)
    return abs(scale - _CUBIC) < 1e-5 and factors == [source] * exponent


def _one_plus(view: View, name: str) -> str | None:
    add = view.producer(name, "Add")
    if add is None:
        return None
    for constant, other in (add.input, tuple(add.input)[::-1]):
        if view.is_scalar(constant, 1.0):
            return str(other)
    return None


def _product(
    view: View, name: str, source: str = "", depth: int = _DEPTH
) -> tuple[float, list[str]]:
    """Constant factor and the other factors of a tree of Mul, Div by constants and Pow.

    `source` is not taken apart, though it may be a product itself.
    """
    value = view.scalar(name)
    if value is not None:
        return value, []
    node = view.producer(name, "Mul", "Div", "Pow") if depth and name != source else None
    if node is None:
        return 1.0, [name]
    if node.op_type == "Mul":
        left, first = _product(view, node.input[0], source, depth - 1)
        right, second = _product(view, node.input[1], source, depth - 1)
        return left * right, first + second
    constant = _number(view, node.input[1])
    if node.op_type == "Div" and constant:
        scale, factors = _product(view, node.input[0], source, depth - 1)
        return scale / constant, factors
    if node.op_type == "Pow" and constant in (2.0, 3.0):
        scale, factors = _product(view, node.input[0], source, depth - 1)
        return float(scale**constant), factors * int(constant)
    return 1.0, [name]


def _number(view: View, name: str) -> float | None:
    """A constant of one element, an integer one too: the exponent of Pow may be int64."""
    value = view.constant(name)
    return None if value is None or value.size != 1 else float(value.reshape(()))
