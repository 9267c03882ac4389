"""Checks a DRAM plan without knowing how it was made: layer by layer, what is alive lies apart."""

from collections import Counter
from collections.abc import Iterable

from jacquard.compiler.dram.plan import Plan


def validate(plan: Plan, tensors: Iterable[tuple[str, int, int, int]]) -> list[str]:
    """Every mistake in `plan` as a placement of `tensors`; none if it is sound."""
    wanted = list(tensors)
    found = []
    # Plain tuples: a named tuple equals its values.
    allocated: list[tuple[str, int, int, int]] = [a.tensor for a in plan.allocations]
    for tensor, count in (
        (Counter(wanted) - Counter(allocated)) + (Counter(allocated) - Counter(wanted))
    ).items():
        found.append(f"plan: {tensor[0]} must be placed exactly as given, {count} differ")
    for name, offset in ((a.tensor.name, a.offset_bytes) for a in plan.allocations):
        if offset < 0 or offset % plan.alignment:
            found.append(f"plan: {name} must start at a multiple of {plan.alignment}, got {offset}")
    layers = {layer for _, _, first, end in wanted for layer in (first, end - 1)}
    clashes: dict[tuple[str, str], str] = {}
    for layer in sorted(layers):
        alive = sorted(
            (a.offset_bytes, a.offset_bytes + a.tensor.size_bytes, a.tensor.name)
            for a in plan.allocations
            if a.tensor.first_layer <= layer < a.tensor.end_layer and a.tensor.size_bytes > 0
        )
        reach, owner = 0, ""
        for begin, end, name in alive:
            if begin < reach:
                clashes.setdefault(
                    (owner, name),
                    f"plan: {owner} and {name} must not overlap, both "
                    f"live in layer {layer} at byte {begin}",
                )
            if end > reach:
                reach, owner = end, name
        if reach > plan.planned_bytes:
            found.append(
                f"plan: planned_bytes must hold layer {layer}, got {plan.planned_bytes} for {reach}"
            )
    found += clashes.values()
    if not plan.lower_bound_bytes <= plan.planned_bytes <= plan.greedy_bytes:
        found.append(
            "plan: totals must be ordered lower bound <= planned <= greedy, got "
            f"{plan.lower_bound_bytes}, {plan.planned_bytes}, {plan.greedy_bytes}"
        )
    return found
