"""Max of tensors and numbers."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.elementwise._extreme import extreme_codelet
from jacquard.proto import npu_isa as isa

CODELET = extreme_codelet("Max", isa.VectorOp.MAX, np.maximum)
