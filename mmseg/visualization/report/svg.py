"""Charts as inline SVG. Colours are CSS classes, so that a chart follows the page into the dark.

Charts are some 400 units wide, so that their text is legible on a phone without zooming.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .html import esc


def ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``number`` of them."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / number))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if span / (step * m) <= number)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, ... from ``low`` to ``high``; more of them in a short range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [m * 10.0**e for e in exponents for m in steps]
        found = [t for t in found if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        if len(found) > 2:
            break
    return found


@dataclass
class Plot:
    """The area of a chart with its two axes.

    Args:
        x, y: Lowest and highest value.
        x_label, y_label: What the axes show, with the unit.
        log_x: Whether the x axis is logarithmic.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    width: int = 400
    height: int = 250
    log_x: bool = False
    left: int = 46
    right: int = 12
    top: int = 24
    bottom: int = 40
    body: list[str] = field(default_factory=list)

    def px(self, value: float) -> float:
        """The horizontal place of ``value``."""
        low, high = self.x
        if self.log_x:
            value, low, high = math.log(value), math.log(low), math.log(high)
        share = (value - low) / (high - low or 1)
        return self.left + share * (self.width - self.left - self.right)

    def py(self, value: float) -> float:
        """The vertical place of ``value``."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0] or 1)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points; where y is not finite it is interrupted."""
        path, pen = [], "M"
        for x, y in points:
            if not math.isfinite(y):
                pen = "M"
                continue
            path.append(f"{pen}{self.px(x):.1f} {self.py(y):.1f}")
            pen = "L"
        self.body.append(f'<path class="line {kind}" d="{"".join(path)}"/>')

    def dot(self, x: float, y: float, kind: str, tip: str, radius: float = 3) -> None:
        """A point with what it shows when it is pointed at or tapped; easier to hit than it looks."""
        place = f'cx="{self.px(x):.1f}" cy="{self.py(y):.1f}"'
        self.body.append(
            f'<g data-tip="{esc(tip)}"><circle {place} r="{max(9, radius)}" class="hit"/>'
            f'<circle {place} r="{radius:.1f}" class="dot {kind}"/></g>'
        )

    def box(self, x: tuple[float, float], y: tuple[float, float], kind: str, tip: str = "") -> None:
        """A filled rectangle between two values of each axis."""
        left, right = sorted(map(self.px, x))
        top, bottom = sorted(map(self.py, y))
        hint = f' data-tip="{esc(tip)}"' if tip else ""
        self.body.append(
            f'<rect class="{kind}"{hint} x="{left:.1f}" y="{top:.1f}" width="{max(0.0, right - left):.1f}" '
            f'height="{max(0.0, bottom - top):.1f}"/>'
        )

    def words(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> None:
        """Text at a place in units of the drawing."""
        self.body.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{esc(text)}</text>'
        )

    def draw(self, label: str, kind: str = "") -> str:
        """The chart; ``label`` says in words what it shows."""
        bottom, right = self.height - self.bottom, self.width - self.right
        grid = []
        for value in ticks(*self.y):
            y = self.py(value)
            grid.append(f'<path class="grid" d="M{self.left} {y:.1f}H{right}"/>')
            grid.append(f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{_tick(value)}</text>')
        # Labels of a logarithmic axis grow together in a long range: then only the powers of ten are named.
        marks = log_ticks(*self.x) if self.log_x else ticks(*self.x)
        for value in marks:
            x = self.px(value)
            grid.append(f'<path class="grid" d="M{x:.1f} {self.top}V{bottom}"/>')
            if len(marks) <= 9 or not self.log_x or math.log10(value).is_integer():
                grid.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_tick(value)}</text>')
        axes = (
            f'<path class="axis" d="M{self.left} {bottom}H{right}"/>'
            f'<text x="{right}" y="{self.height - 6}" text-anchor="end" '
            f'class="label">{esc(self.x_label)}</text>'
            f'<text x="4" y="13" class="label">{esc(self.y_label)}</text>'
        )
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{esc(label)}" '
            f'class="chart {kind}">{"".join(grid)}{axes}{"".join(self.body)}</svg>'
        )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """What the colours mean: pairs of a CSS class and a name."""
    items = "".join(f'<li><i class="{kind}"></i>{esc(name)}</li>' for kind, name in entries)
    return f'<ul class="legend">{items}</ul>'


def _tick(value: float) -> str:
    if value and (abs(value) >= 1e4 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.0e}".split("e")
        if abs(value) >= 1e4:
            return f"{value / 1000:g}k" if abs(value) < 1e6 else f"{value / 1e6:g}M"
        return f"{mantissa}e{int(exponent)}"
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
