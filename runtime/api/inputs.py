"""From a model's inputs to a program's: names, shapes, types, the host's part, indices and masks.

In: NumPy arrays by the names that the model gives its inputs. Out: integers that `layout.pack` lays
into device memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib import rotary
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.proto.lib.masks import LEAST_MASK, MASKED
from jacquard.runtime.api import layout
from jacquard.runtime.api.host import HostModel


class ModelInputs:
    """What a program's model reads, and how that becomes what the program reads."""

    def __init__(self, program: pb.Program) -> None:
        """Raises UserError if the host's part cannot be loaded, or does not fit the program."""
        self._host = HostModel(program.host_model, program.model) if program.host_model else None
        made = self._host.sources if self._host else {}
        self._direct = {t.name: t for t in program.inputs if t.name not in made}
        self._made = {t.name: t for t in program.inputs if t.name in made}
        self.shapes = {name: host_shape(tensor) for name, tensor in self._direct.items()}
        if self._host:
            self.shapes |= {name: read.shape for name, read in self._host.inputs.items()}

    def bind(
        self, inputs: Mapping[str, np.ndarray], numbers: Mapping[str, int] | None = None
    ) -> dict[str, np.ndarray]:
        """Program input -> integers of its shape, each in the tensor's dtype.

        Args:
          inputs: an array for each name in `shapes`: float32 (quantized here) or the quantized
            dtype; integers for indices and what the host reads.
          numbers: one for each of the program's arguments.

        Raises:
          UserError: everything that is wrong with the inputs, a line each.
        """
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        problems = self._misnamed(arrays)
        bound: dict[str, np.ndarray] = {}

        def take(place: str, tensor: pb.Tensor, array: np.ndarray) -> None:
            if tensor.position_argument:
                array = moved(array, (numbers or {})[tensor.position_argument])
            _take(bound, problems, place, tensor, array)

        for name, tensor in self._direct.items():
            if name in arrays:
                wrong = _wrong_type(arrays[name], tensor)
                if wrong:
                    problems.append(f"input {name}: {wrong}")
                    del arrays[name]
                else:
                    take(f"input {name}", tensor, arrays[name])
        if self._host:
            read, wrong_reads = self._host_inputs(arrays)
            problems += wrong_reads
            if len(read) == len(self._host.inputs):
                results = self._host.run(read)
                for name, tensor in self._made.items():
                    sources = ", ".join(self._host.sources[name])
                    if results[name].shape != host_shape(tensor):
                        raise UserError(
                            f"program: host part must give {name} the shape "
                            f"{list(host_shape(tensor))}, "
                            f"got {list(results[name].shape)}; recompile"
                        )
                    take(f"input {sources}", tensor, results[name])
        raise_if_any(dict.fromkeys(problems))  # a tensor read twice is told once
        return bound

    def _misnamed(self, arrays: dict[str, np.ndarray]) -> list[str]:
        """Lines on names and shapes; takes what is wrong out of `arrays`."""
        problems = [
            f"input {name}: must be an input of the model; it has {', '.join(self.shapes)}"
            for name in sorted(set(arrays) - set(self.shapes))
        ]
        for name, shape in self.shapes.items():
            if name not in arrays:
                problems.append(f"input {name}: is missing; give an array of shape {list(shape)}")
            elif arrays[name].shape != shape:
                got = list(arrays.pop(name).shape)
                problems.append(
                    f"input {name}: shape must be {list(shape)}, got {got}; the program is made "
                    "for that shape: pad or cut the input, or compile for another"
                )
        return problems

    def _host_inputs(
        self, arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """What the host reads, in the types it wants, and a line for each that has none."""
        assert self._host is not None
        read, problems = {}, []
        for name, wanted in self._host.inputs.items():
            if name in arrays:
                try:
                    read[name] = converted(arrays[name], wanted.dtype)
                except ValueError as error:
                    problems.append(f"input {name}: {error}")
        return read, problems


def host_shape(tensor: pb.Tensor) -> tuple[int, ...]:
    """An input's shape as the host has it."""
    shape = tuple(tensor.shape)
    return (*shape[:-1], shape[-1] + 1) if tensor.position_argument else shape


def moved(array: np.ndarray, place: int) -> np.ndarray:
    """Rows without their last element, which stands at `place` instead of what was there."""
    rows = array[..., :-1].copy()
    rows[..., place] = array[..., -1]
    return rows


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same values in another type. Raises ValueError: why they cannot be that."""
    if array.dtype == dtype:
        return array
    if dtype.kind not in "iub" or array.dtype.kind not in "iub":
        raise ValueError(f"dtype must be {dtype}, got {array.dtype}; convert it with .astype")
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    wrong = (array < limits[0]) | (array > limits[1])
    if wrong.any():
        raise ValueError(
            f"values must be those of {dtype}, {limits[0]} to {limits[1]}, got "
            f"{_first(array, wrong)}; correct them"
        )
    return array.astype(dtype)


def _wrong_type(array: np.ndarray, tensor: pb.Tensor) -> str | None:
    """Why an input cannot have this dtype, if so."""
    if tensor.role == pb.Tensor.INDEX:
        fits, wanted = array.dtype.kind in "iu", "int64 or int32"
    elif tensor.role == pb.Tensor.MASK:
        fits, wanted = array.dtype.kind in "fb", "float32 or bool"
    else:
        own = layout.DTYPES[tensor.dtype]
        fits, wanted = array.dtype in (np.float32, own), f"float32 or {own}"
    if fits:
        return None
    return f"dtype must be {wanted}, got {array.dtype}; convert it with .astype"


def _take(
    bound: dict[str, np.ndarray],
    problems: list[str],
    place: str,
    tensor: pb.Tensor,
    array: np.ndarray,
) -> None:
    """Puts the tensor's integers into `bound`, or what is wrong with them into `problems`."""
    try:
        if tensor.role == pb.Tensor.INDEX:
            bound[tensor.name] = indices(array, tensor.limit, place)
        elif tensor.role == pb.Tensor.MASK:
            bound[tensor.name] = device_mask(array)
        elif array.dtype == layout.DTYPES[tensor.dtype]:
            bound[tensor.name] = array
        elif not np.isfinite(array).all():
            raise ValueError("values must be finite, got NaN or infinity")
        else:
            bound[tensor.name] = layout.quantize(array, tensor)
    except ValueError as error:
        problems.append(f"{place}: {error}")


def indices(array: np.ndarray, limit: int, name: str) -> np.ndarray:
    """int32 of the same shape. Raises ValueError: an index outside [0, limit).

    name: of the input; one of positions reads another table than one of ids.
    """
    wrong = (array < 0) | (array >= limit)
    if wrong.any():
        reason = "use ids of the model's own vocabulary"
        if "position" in name:
            reason = end_of_positions(limit) + "; use a shorter sequence"
        raise ValueError(
            f"indices must be from 0 to {limit - 1}, got {_first(array, wrong)}; {reason}"
        )
    return array.astype(np.int32)


def end_of_positions(limit: int) -> str:
    """Why a model has no more positions than these."""
    if limit == rotary.POSITIONS:
        return f"the compiler's tables of rotary embeddings end at {limit} positions"
    return f"the model's table of positions ends at {limit}"


def device_mask(array: np.ndarray) -> np.ndarray:
    """A mask that is added to logits (float) or says what is kept (bool) -> int32, 0 or MASKED.

    Raises ValueError: a value that is neither 0 nor at most LEAST_MASK, or a row (last dimension)
    of which nothing is kept.
    """
    kept = array if array.dtype == bool else array == 0
    wrong = ~kept & ~(array <= LEAST_MASK) if array.dtype != bool else np.zeros(array.shape, bool)
    if wrong.any():  # NaN too
        raise ValueError(
            f"a mask must hold 0 and values of at most {LEAST_MASK:g}, got {_first(array, wrong)}; "
            "use 0 and -inf"
        )
    empty = ~kept.any(axis=-1)
    if empty.any():
        sizes = [axis for axis, size in enumerate(empty.shape) if size > 1]
        row = [int(np.argwhere(empty)[0][axis]) for axis in sizes] or [0]
        raise ValueError(
            f"every row must keep at least one position, got row {row} masked whole"
            f"{_more(empty)}; unmask one of its positions"
        )
    return np.where(kept, 0, MASKED).astype(np.int32)


def _first(array: np.ndarray, wrong: np.ndarray) -> str:
    """`7 at [0, 3] and 2 more`."""
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{array[where]} at {list(where)}{_more(wrong)}"


def _more(wrong: np.ndarray) -> str:
    others = int(np.count_nonzero(wrong)) - 1
    return f" and {others} more" if others else ""
