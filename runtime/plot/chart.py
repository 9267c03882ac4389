"""A chart as SVG: dots, lines and boxes between two axes, what each is on pointing at it.

Drawn by hand because a page of ours opens offline, from one file, without a library.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from jacquard.runtime.plot.axis import Axis

# Okabe and Ito's palette: told apart by the colour-blind too.
COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#8c8c00",
    "#999999",
)
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 12, 48  # margins in pixels: labels of the axes


class Chart:
    """Collects marks, in the axes' values, and draws them in the order they came."""

    def __init__(self, x: Axis, y: Axis, width: int = 720, height: int = 420) -> None:
        """`width`, `height`: of the whole, in pixels."""
        self._x, self._y, self._size = x, y, (width, height)
        self._marks: list[str] = []

    def dot(
        self, x: float, y: float, title: str, colour: str = COLOURS[0], hollow: bool = False
    ) -> None:
        left, top = self._place(x, y)
        fill = "none" if hollow else colour
        self._marks.append(
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="{4 if hollow else 5}" fill="{fill}" '
            f'stroke="{colour}" pointer-events="all">{_title(title)}</circle>'
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = COLOURS[-1],
        dashed: bool = False,
        title: str = "",
    ) -> None:
        """Straight from each point to the next."""
        places = " ".join(f"{a:.1f},{b:.1f}" for a, b in (self._place(*p) for p in points))
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self._marks.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}"{dash}>'
            f"{_title(title)}</polyline>"
        )

    def box(
        self,
        corner: tuple[float, float],
        opposite: tuple[float, float],
        title: str,
        colour: str = COLOURS[0],
    ) -> None:
        """A rectangle between two corners."""
        (a, b), (c, d) = self._place(*corner), self._place(*opposite)
        left, top, width, height = min(a, c), min(b, d), abs(c - a), abs(d - b)
        self._marks.append(
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{width:.2f}" height="{height:.2f}" '
            f'fill="{colour}" stroke="#ffffff" stroke-width="0.5">{_title(title)}</rect>'
        )

    def words(self, x: float, y: float, text: str, right: bool = True) -> None:
        """Beside a dot: on its right, or on its left."""
        left, top = self._place(x, y)
        anchor = "start" if right else "end"
        self._marks.append(_words(left + (9 if right else -9), top + 4, text, anchor))

    def svg(self) -> str:
        """The picture, to stand in a page or in a file of its own."""
        width, height = self._size
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="11" '
            f'fill="currentColor" role="img">{self._frame()}{"".join(self._marks)}</svg>'
        )

    def _place(self, x: float, y: float) -> tuple[float, float]:
        width, height = self._size
        return (
            _LEFT + self._x.at(x) * (width - _LEFT - _RIGHT),
            height - _BOTTOM - self._y.at(y) * (height - _TOP - _BOTTOM),
        )

    def _frame(self) -> str:
        """Grid, marks and labels of both axes."""
        (left, bottom), (right, top) = (
            self._place(self._x.low, self._y.low),
            self._place(self._x.high, self._y.high),
        )
        made = []
        for value in self._x.ticks():
            at, _ = self._place(value, self._y.low)
            made.append(_rule(at, bottom, at, top))
            made.append(_words(at, bottom + 16, self._x.text(value), "middle"))
        for value in self._y.ticks():
            _, at = self._place(self._x.low, value)
            made.append(_rule(left, at, right, at))
            made.append(_words(left - 6, at + 4, self._y.text(value), "end"))
        made.append(_words((left + right) / 2, bottom + 38, self._x.label, "middle"))
        made.append(
            f'<text transform="translate(14 {(top + bottom) / 2:.1f}) rotate(-90)" '
            f'text-anchor="middle">{html.escape(self._y.label)}</text>'
        )
        return "".join(made)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
        'stroke-opacity="0.15"/>'
    )


def _words(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _title(text: str) -> str:
    return f"<title>{html.escape(text)}</title>" if text else ""
