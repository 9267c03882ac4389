"""An axis of a chart: from values to places, and the values worth a mark."""

from __future__ import annotations

import dataclasses
import math

_STEPS = (1, 2, 5, 10)


@dataclasses.dataclass(frozen=True)
class Axis:
    """From `low` to `high`, both positive where `log`.

    Attributes:
      unit: what values are read in: "" counts (k, M, G), "bytes" (KiB, MiB).
    """

    label: str
    low: float
    high: float
    log: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        if self.low >= self.high or self.log and self.low <= 0:
            rule = "0 < low < high" if self.log else "low < high"
            raise ValueError(f"axis {self.label}: {rule}, got {self.low} and {self.high}")

    def at(self, value: float) -> float:
        """0 at low, 1 at high, in between in proportion."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values within the axis, about so many; powers on a logarithmic one."""
        base = 2 if self.unit == "bytes" else 10
        if self.log and self.high / self.low >= (4 if base == 2 else 10):
            first, last = (math.log(v, base) for v in (self.low, self.high))
            exponents = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)
            skip = -(-len(exponents) // about)
            powers = [float(base) ** e for e in exponents[::skip]]
            if base == 10 and len(powers) <= about // 2:
                between = [p * k for p in [powers[0] / 10, *powers] for k in _STEPS[:3]]
                return [v for v in between if self.low <= v <= self.high]
            return powers
        rough = (self.high - self.low) / about
        power = float(base) ** math.floor(math.log(rough, base))
        step = next(s * power for s in _STEPS if s * power >= rough * (1 - 1e-9))
        count = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(math.ceil(self.low / step - 1e-9), count + 1)]

    def text(self, value: float) -> str:
        """A value in the axis' unit, in at most four digits."""
        return readable(value, self.unit)


def readable(value: float, unit: str = "") -> str:
    """12_345_678 as "12.3 M", 65536 bytes as "64 KiB"."""
    base, names = 1000, ("", "k", "M", "G")
    if unit == "bytes":
        base, names = 1024, ("B", "KiB", "MiB", "GiB")
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    digits = f"{value:.4g}" if value >= 1000 else f"{value:.3g}"
    return f"{digits} {names[power]}".strip()
