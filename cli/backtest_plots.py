"""Plots of the backtest report: inline SVG made here, so that the report is one file that needs no script."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 620, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 40


_QUARTERS = ((0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a plot: points (x, y), with bounds of y where they are known. kind: its CSS class."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]
    bounds: Sequence[tuple[float, float, float]] = ()


def curve(lines: Sequence[Line], *, ticks: Sequence[float], x_title: str, y_title: str) -> Markup:
    """Lines over places of equal distance, one for each of `ticks`; y from 0 to 1."""
    place = {tick: at for at, tick in enumerate(ticks)}
    room = _WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return _LEFT + room * (place[value] + 0.5) / len(ticks)

    parts = [_frame([(x(tick), f"{tick:g}") for tick in ticks], x_title, y_title)]
    for line in lines:
        if line.bounds:
            upper = [f"{x(at):.1f},{_y(high):.1f}" for at, _, high in line.bounds]
            lower = [f"{x(at):.1f},{_y(low):.1f}" for at, low, _ in reversed(line.bounds)]
            parts.append(f'<polygon class="bounds {line.kind}" points="{" ".join(upper + lower)}"/>')
    for line in lines:
        points = " ".join(f"{x(at):.1f},{_y(value):.1f}" for at, value in line.points)
        parts.append(f'<polyline class="line {line.kind}" points="{points}"/>')
        for at, value in line.points:
            title = f"<title>{escape(line.name)}: {value:.2f} at {at:g}</title>"
            parts.append(
                f'<circle class="dot {line.kind}" cx="{x(at):.1f}" cy="{_y(value):.1f}" r="4">{title}</circle>'
            )
    return _svg(parts, f"{y_title} by {x_title}")


def scatter(points: Sequence[tuple[float, float, str]], chosen: tuple[float, float] | None, x_title: str, y_title: str) -> Markup:  # fmt: skip
    """Points (x, y, title), both from 0 to 1, joined in their order; `chosen` is marked."""
    room = _WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return _LEFT + room * value

    parts = [_frame([(x(v / 5), f"{v / 5:.0%}") for v in range(6)], x_title, y_title)]
    path = " ".join(f"{x(a):.1f},{_y(b):.1f}" for a, b, _ in points)
    parts.append(f'<polyline class="line simple" points="{path}"/>')
    for a, b, title in points:
        told = f"<title>{escape(title)}</title>"
        parts.append(f'<circle class="dot simple" cx="{x(a):.1f}" cy="{_y(b):.1f}" r="3">{told}</circle>')
    if chosen:
        parts.append(f'<circle class="dot ours" cx="{x(chosen[0]):.1f}" cy="{_y(chosen[1]):.1f}" r="6"/>')
    return _svg(parts, f"{y_title} by {x_title}")


def histogram(values: Sequence[float], *, most: float, x_title: str) -> Markup:
    """How many values lie in each of twelve parts of 0..most."""
    counts, edges = np.histogram(np.array(values), bins=12, range=(0.0, most))
    room = _WIDTH - _LEFT - _RIGHT
    top = max(int(counts.max()), 1)
    step = max(1, round(most / 6)) if most >= 6 else most / 6
    marks = [at * step for at in range(int(most / step + 1e-9) + 1)]
    shown = [(_LEFT + room * mark / most, f"{mark:g}") for mark in marks]
    parts = [_frame(shown, x_title, "failures", y_marks=[(share, f"{share * top:g}") for share in _whole(top)])]
    width = room / len(counts)
    for at, count in enumerate(counts.tolist()):
        if count:
            y = _y(count / top)
            title = f"<title>{edges[at]:.1f} to {edges[at + 1]:.1f}: {count}</title>"
            parts.append(
                f'<rect class="fill ours" x="{_LEFT + at * width + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}"'
                f' height="{_y(0) - y:.1f}">{title}</rect>'
            )
    return _svg(parts, x_title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something on a device's timeline. kind: its CSS class; end equals start for a moment."""

    kind: str
    start: int
    end: int
    title: str


def timeline(first: int, last: int, spans: Sequence[Mark], moments: Sequence[Mark]) -> Markup:
    """One device's time: spans as bars, moments as lines over the whole height."""
    length = max(last - first, 1)
    # A thousand units wide and stretched to the page: lines keep their width.
    parts = ['<rect class="ground" x="0" y="9" width="1000" height="6"/>']
    for mark in spans:
        left = 1000 * (min(max(mark.start, first), last) - first) / length
        wide = max(1000 * (min(mark.end, last) - first) / length - left, 3.0)
        title = f"<title>{escape(mark.title)}</title>"
        top, height = (0, 24) if mark.kind == "label" else (5, 14)
        parts.append(
            f'<rect class="{mark.kind}" x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{height}">{title}</rect>'
        )
    for mark in moments:
        at = 1000 * (min(max(mark.start, first), last) - first) / length
        title = f"<title>{escape(mark.title)}</title>"
        parts.append(f'<line class="{mark.kind}" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="24">{title}</line>')
    # Texts are escaped above, the rest is numbers.
    return Markup(  # noqa: S704 — as said above
        '<svg class="time" viewBox="0 0 1000 24" preserveAspectRatio="none" role="img" aria-label="timeline">'
        f"{''.join(parts)}</svg>"
    )


def _whole(top: int) -> list[float]:
    step = max(1, -(-top // 4))
    return [count / top for count in range(0, top + 1, step)]


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1.0 - share)


def _frame(
    x_marks: Sequence[tuple[float, str]],
    x_title: str,
    y_title: str,
    y_marks: Sequence[tuple[float, str]] = _QUARTERS,
) -> str:
    parts = []
    for share, text in y_marks:
        y = _y(share)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    for x, text in x_marks:
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{escape(text)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_title)}</text>')
    height = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="side" transform="translate(12 {height}) rotate(-90)" text-anchor="middle">{escape(y_title)}</text>'
    )
    return "".join(parts)


def _svg(parts: Sequence[str], label: str) -> Markup:
    # Texts are escaped above, the rest is numbers.
    return Markup(  # noqa: S704 — as said above
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
