"""What masks out: in the floats of a graph, and in the int32 of the device."""

LEAST_MASK = -1e4  # an additive float at or below this leaves nothing of an element
MASKED = -(1 << 30)  # what the device adds there (program.proto, Tensor.MASK)
