"""Rotary tables of a position that is known at run time alone.

A decode step computes cosines and sines of its position; the NPU has neither. Of one position they
are a row of a table, which is read as an embedding's is. Prefills have constants in their place.
"""

import numpy as np
import onnx
from onnx import helper

from jacquard.compiler.frontend.fold import open_session
from jacquard.compiler.frontend.patterns.view import View
from jacquard.proto.lib.rotary import POSITIONS  # a larger one is refused at run time

_WAVES = ("Cos", "Sin")
_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def tabulate_rotations(view: View, model: onnx.ModelProto) -> bool:
    """Floats made with Cos or Sin of one integer input of one element: Gather of a table's row."""
    changed = False
    for name in sorted(view.inputs):
        shape = view.shapes.get(name)
        if shape is None or int(np.prod(shape)) != 1 or view.types.get(name) not in _INTEGERS:
            continue
        made, waves = _made_of(view, name)
        ends = [
            result for result in made
            if result in waves and view.types.get(result) == onnx.TensorProto.FLOAT
            and (result in view.outputs or any(
                not made.keys() & set(reader.output) for reader in view.readers(result)))
        ]
        for result in ends:
            if result in view.outputs:
                continue
            table = _table(view, model, name, result, list(made.values()))
            if table is None:
                continue
            _replace(view, name, result, table)
            changed = True
    return changed


def _made_of(view: View, source: str) -> tuple[dict[str, onnx.NodeProto], set[str]]:
    """(tensors that depend on `source` and constants alone -> their nodes, those with a wave)."""
    made: dict[str, onnx.NodeProto] = {}
    waves: set[str] = set()
    for node in view.nodes:
        operands = [name for name in node.input if name]
        if not any(name == source or name in made for name in operands) or len(node.output) != 1:
            continue
        if all(name == source or name in made or name in view.tensors for name in operands):
            made[node.output[0]] = node
            if node.op_type in _WAVES or waves & set(operands):
                waves.add(node.output[0])
    return made, waves


def _table(
    view: View, model: onnx.ModelProto, source: str, result: str, nodes: list[onnx.NodeProto]
) -> np.ndarray | None:
    """float32 [POSITIONS, elements of `result`]."""
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes, "rotation",
        [helper.make_tensor_value_info(source, view.types[source], view.shapes[source])],
        [helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, None)],
        [tensor for name, tensor in view.tensors.items() if name in read],
    )
    one = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=min(model.ir_version, 10))
    session = open_session(one)
    kind = helper.tensor_dtype_to_np_dtype(view.types[source])
    rows = [
        session.run([result], {source: np.full(view.shapes[source], position, kind)})[0].reshape(-1)
        for position in range(POSITIONS)
    ]
    table = np.stack(rows)
    return table if np.isfinite(table).all() else None


def _replace(view: View, source: str, result: str, table: np.ndarray) -> None:
    node = view.producer(result)
    assert node is not None
    flat, row = f"{result}.position", f"{result}.row"
    view.shapes[flat], view.types[flat] = (1,), view.types[source]
    view.shapes[row], view.types[row] = (1, table.shape[1]), onnx.TensorProto.FLOAT
    one = view.add_constant(f"{flat}.shape", np.array([1], np.int64))
    sizes = view.add_constant(f"{row}.shape", np.asarray(view.shapes[result], np.int64))
    name = view.add_constant(f"{result}.table", table)
    view.replace(node, [
        view.make("Reshape", [source, one], flat, f"{node.name}.position"),
        view.make("Gather", [name, flat], row, f"{node.name}.row", axis=0),
        view.make("Reshape", [row, sizes], result, node.name),
    ])
