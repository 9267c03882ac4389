"""ReduceMean over neighbouring dimensions or the features: the sum, divided under one rounding."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.reduce._reduce import reduction_cases, reduction_codelet
from jacquard.proto import npu_isa as isa

CODELET = reduction_codelet("ReduceMean", isa.ReduceOp.SUM, np.mean, reduction_cases, mean=True)
