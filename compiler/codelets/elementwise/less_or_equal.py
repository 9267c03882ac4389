"""LessOrEqual of tensors of one scale, or of a tensor and a constant."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.elementwise._compare import compare_codelet
from jacquard.proto import npu_isa as isa

CODELET = compare_codelet("LessOrEqual", isa.VectorOp.LE, np.less_equal)
