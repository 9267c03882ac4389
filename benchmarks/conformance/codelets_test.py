"""Every codelet's cases on every supported configuration.

A case becomes a QDQ model, is compiled, runs on sim/func, and must equal the integer reference bit
for bit. It must also lie within half a step (or the case's tolerance) of the codelet's own
reference in real arithmetic, which shares nothing with either.
"""

import dataclasses

import numpy as np
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.case_model import inputs_of, model_of
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.main import compile_model
from jacquard.compiler.passes.import_qdq import import_qdq
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.interpreter import run_reference

CONFIGS = ("nano4", "edge16", "rect8x16")
CASES = [(op, case) for op, codelet in codelets().items() for case in codelet.cases()]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("op", "case"), CASES, ids=[f"{op}-{case.name}" for op, case in CASES])
def test_equals_the_integer_reference(op: str, case: Case, config: str) -> None:
    model, inputs = model_of(op, case), inputs_of(case)
    arch = load_config(config)
    found = run(compile_model(model, arch), arch, inputs)
    expected = run_reference(model, inputs).integer_outputs
    assert set(found) == set(expected)
    for name, integers in expected.items():
        np.testing.assert_array_equal(found[name], integers, err_msg=name)


@pytest.mark.parametrize(("op", "case"), CASES, ids=[f"{op}-{case.name}" for op, case in CASES])
def test_lies_within_a_step_of_real_arithmetic(op: str, case: Case) -> None:
    model, inputs = model_of(op, case), inputs_of(case)
    graph = import_qdq(model, op)
    integers = run_reference(model, inputs).integer_outputs
    reals = {
        name: (tensor.data.astype(np.float64) - tensor.grid.zero_point) * tensor.grid.scale
        for name, tensor in graph.tensors.items() if tensor.data is not None
    }
    for name, tensor in graph.inputs.items():
        grid = graph.tensors[tensor].grid
        steps = np.rint(inputs[name] / np.float32(grid.scale)).astype(np.float64)
        clipped = np.clip(steps + grid.zero_point, grid.lo, grid.hi) - grid.zero_point
        reals[tensor] = clipped * np.float64(grid.scale)
    codelet = codelets()[op]
    for name, tensor in graph.outputs.items():
        grid = graph.tensors[tensor].grid
        maker = next((o for o in graph.ops if tensor in o.outputs), None)
        if maker is None:  # dropped: the output is the input
            real = reals[tensor]
        else:
            operands = [reals[n] for n in maker.inputs]
            real = np.clip(np.asarray(codelet.reference(maker, operands)[0]), maker.lo, maker.hi)
        exact = np.clip(real / grid.scale + grid.zero_point, grid.lo, grid.hi)
        assert np.abs(integers[name] - exact).max() <= case.tolerance


TYPES = (("int16", "int16"), ("uint16", "uint16"), ("uint8", "int16"), ("int16", "uint8"))
UNTYPED = [(op, case) for op, case in CASES if not case.input_dtype and not case.output_dtype]


@pytest.mark.parametrize("types", TYPES, ids="_to_".join)
@pytest.mark.parametrize(("op", "case"), UNTYPED, ids=[f"{op}-{case.name}" for op, case in UNTYPED])
def test_other_types_are_right_or_refused(op: str, case: Case, types: tuple[str, str]) -> None:
    case = dataclasses.replace(case, input_dtype=types[0], output_dtype=types[1])
    model, inputs, arch = model_of(op, case), inputs_of(case), load_config("edge16")
    try:
        program = compile_model(model, arch)
    except UserError as error:
        assert str(error).startswith(f"node {op}_{case.name} ({op}): ")  # not the checker's
        return
    found = run(program, arch, inputs)
    for name, integers in run_reference(model, inputs).integer_outputs.items():
        np.testing.assert_array_equal(found[name], integers, err_msg=name)


def test_every_operator_of_the_issues_has_a_codelet() -> None:
    wanted = (
        "Conv Gemm MatMul Add Mul Relu LeakyRelu Clip MaxPool AveragePool GlobalAveragePool "
        "ReduceMean BatchNormalization Concat Split Slice Pad Transpose Reshape Flatten Squeeze "
        "Unsqueeze Dropout Identity QuantizeLinear DequantizeLinear Resize "
        "Softmax LayerNormalization RMSNormalization Gather ReduceSum ReduceMax ReduceMin Expand "
        "Gelu Erf Tanh Sigmoid Swish HardSigmoid HardSwish Exp Log Sqrt Reciprocal Pow "
        "Sub Div Neg Abs Min Max Where Equal Greater GreaterOrEqual Less LessOrEqual"
    ).split()
    assert not set(wanted) - set(codelets())
