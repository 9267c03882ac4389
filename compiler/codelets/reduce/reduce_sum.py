"""ReduceSum over neighbouring dimensions or the features."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.reduce._reduce import reduction_cases, reduction_codelet
from jacquard.proto import npu_isa as isa

CODELET = reduction_codelet("ReduceSum", isa.ReduceOp.SUM, np.sum, reduction_cases)
