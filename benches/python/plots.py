"""Draws the plots of docs/benchmarks.md as SVG, from the same figures as the tables.

Three kinds: a row of dots per route for percentiles, a pair of bars per route for wall and CPU, a single bar for one call. Routes that do
less than a complete logger (or lost or spoilt a record in that very run) have pale, dashed marks; logspool's are strong and orange.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import figures
from peers import ALL_ROUTES

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 900, 330, 60, 24, 84, 46
OURS, PEER, LESS, FLOOR, INK, GRID = "#c2410c", "#1d4ed8", "#93b4e8", "#737373", "#1f2937", "#e2e5ea"


@dataclass
class Drawing:
    """Elements of one SVG, and where its rows and its axis are."""

    title: str
    subtitle: str
    rows: int
    low: float
    high: float
    log: bool = True
    row_height: int = ROW
    elements: list[str] = field(default_factory=list)

    @property
    def bottom(self) -> int:
        return TOP + self.rows * self.row_height

    def x(self, value: float) -> float:
        if self.log:
            share = (math.log10(max(value, self.low)) - math.log10(self.low)) / (
                math.log10(self.high) - math.log10(self.low)
            )
        else:
            share = (value - self.low) / (self.high - self.low)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, row: int) -> float:
        return TOP + (row + 0.5) * self.row_height

    def add(self, element: str) -> None:
        self.elements.append(element)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 12,
        anchor: str = "start",
        fill: str = INK,
        bold: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.add(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{weight}>{escape(text)}</text>'
        )

    def ticks(self) -> list[float]:
        if not self.log:
            step = 10 ** math.floor(math.log10(self.high / 4))
            step *= next(n for n in (1, 2, 5, 10) if self.high / (step * n) <= 7)
            return [step * n for n in range(int(self.high / step) + 1)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        return [t for t in (10.0**n for n in range(first, last + 1)) if self.low <= t <= self.high]

    def axis(self, unit: str) -> None:
        for tick in self.ticks():
            at = self.x(tick)
            self.elements.insert(
                0, f'<line x1="{at:.1f}" y1="{TOP - 4}" x2="{at:.1f}" y2="{self.bottom}" stroke="{GRID}"/>'
            )
            self.text(at, self.bottom + 16, f"{tick:,.12g}", size=11, anchor="middle")
        self.text((LEFT + WIDTH - RIGHT) / 2, self.bottom + 34, unit, size=12, anchor="middle")

    def dots(self, y: float, at: dict[str, float], fill: str, large: str) -> None:
        """A row of dots joined by a line; `at` gives their places in order, `max` is hollow, `large` is the one to look at."""
        first, last = min(at.values()), max(at.values())
        dash = ' stroke-dasharray="3 3"' if fill == LESS else ""
        line = f'<line x1="{first:.1f}" y1="{y:.1f}" x2="{last:.1f}" y2="{y:.1f}"'
        self.add(f'{line} stroke="{fill}" stroke-width="2" opacity="0.5"{dash}/>')
        for key, x in at.items():
            inside, radius = "#ffffff" if key == "max" else fill, 6 if key == large else 4.5
            look = f'fill="{inside}" stroke="{fill}" stroke-width="1.5"'
            self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {look}/>')

    def bar(self, y: float, end: float, thick: float, fill: str, opacity: float) -> None:
        """A bar from the axis to `end`."""
        size = f'width="{max(end - LEFT, 1):.1f}" height="{thick}"'
        self.add(f'<rect x="{LEFT}" y="{y:.1f}" {size} rx="1.5" fill="{fill}" opacity="{opacity}"/>')

    def svg(self) -> str:
        height = self.bottom + BOTTOM
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
        )
        back = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        titles = (
            f'<text x="14" y="24" font-size="16" font-weight="600" fill="{INK}">{escape(self.title)}</text>'
            f'<text x="14" y="44" font-size="12" fill="#4b5563">{escape(self.subtitle)}</text>'
        )
        return "\n".join([head, back, titles, *self.elements, "</svg>"]) + "\n"


def colour(route: str, samples: list[figures.Figures]) -> str:
    """Orange for logspool, grey for floors, blue for peers: pale where the peer does less, or lost or spoilt records."""
    if route in figures.OURS:
        return OURS
    if route in FLOORS:
        return FLOOR
    kept = all("lines" not in s for s in samples) or figures.whole(samples)
    return PEER if kept and not ALL_ROUTES[route].lacks else LESS


FLOORS = frozenset(("build", "null", "dumps", "write"))
LEGEND = (
    ("logspool", OURS),
    ("peer", PEER),
    ("peer that does less (†)", LESS),
    ("floor: writes nothing, or makes nothing", FLOOR),
)


def legend(drawing: Drawing, extra: Sequence[tuple[str, str]] = ()) -> None:
    x = LEFT
    for name, fill in (*LEGEND, *extra):
        drawing.add(f'<rect x="{x}" y="{TOP - 18}" width="10" height="10" rx="2" fill="{fill}"/>')
        drawing.text(x + 14, TOP - 9, name, size=11)
        x += 28 + int(6.1 * len(name))


def name_of(route: str) -> str:
    kind = ALL_ROUTES[route]
    text = kind.label.replace(
        "QueueHandler + QueueListener + orjson + RotatingFileHandler + gzip (option A)",
        "QueueHandler + QueueListener + orjson (option A)",
    )
    text = text.replace(
        "OpenTelemetry SDK handler, batch processor, exporter that does nothing", "OpenTelemetry SDK, no-op exporter"
    )
    return text + (" †" if kind.lacks and route not in FLOORS else "")


def row_name(drawing: Drawing, row: int, route: str) -> None:
    ours = route in figures.OURS
    drawing.text(LEFT - 10, drawing.y(row) + 4, name_of(route), anchor="end", fill=OURS if ours else INK, bold=ours)


def ordered(routes: dict[str, list[figures.Figures]], key: str, without: Sequence[str] = ()) -> list[str]:
    found = [r for r, s in routes.items() if figures.samples_of(s, key) and r not in without]
    return sorted(found, key=lambda r: figures.median(routes[r], key))


def percentiles(routes: dict[str, list[figures.Figures]], title: str, subtitle: str) -> str:
    """One row a route: dots at p50 to max, joined by a line; log scale."""
    keys = ("p50", "p95", "p99", "p99.9", "max")
    order = ordered(routes, "p99.9")
    top = max(figures.median(routes[r], "max") for r in order)
    low = min(figures.median(routes[r], "p50") for r in order)
    drawing = Drawing(title, subtitle, len(order), 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(top)))
    legend(drawing)
    for row, route in enumerate(order):
        fill, y = colour(route, routes[route]), drawing.y(row)
        at = {key: drawing.x(figures.median(routes[route], key)) for key in keys}
        drawing.dots(y, at, fill, "p99.9")
        row_name(drawing, row, route)
    drawing.axis("µs in the caller (log scale): p50, p95, p99; p99.9 large; max hollow")
    return drawing.svg()


def bars(
    routes: dict[str, list[figures.Figures]],
    keys: Sequence[tuple[str, str]],
    title: str,
    subtitle: str,
    unit: str,
    less_build: bool,
) -> str:
    """One group of bars a route, log scale, with the figure at the end of each bar."""
    order = ordered(routes, keys[0][0], without=("build",))
    build = {key: figures.median(routes["build"], key) if less_build else 0.0 for key, _ in keys}
    value = {(r, key): max(figures.median(routes[r], key) - build[key], 1e-3) for r in order for key, _ in keys}
    low = 10 ** math.floor(math.log10(min(value.values())))
    high = 10 ** math.ceil(math.log10(max(value.values()) * 1.05))
    drawing = Drawing(title, subtitle, len(order), low, high, row_height=16 + 12 * (len(keys) - 1))
    legend(drawing)
    thick = 9
    for row, route in enumerate(order):
        fill = colour(route, routes[route])
        for n, (key, _) in enumerate(keys):
            y = drawing.y(row) - thick * len(keys) / 2 + n * (thick + 1)
            end = drawing.x(value[route, key])
            opacity = 1.0 if n == 0 else 0.45
            drawing.bar(y, end, thick, fill, opacity)
            drawing.text(end + 4, y + thick - 1, f"{value[route, key]:.3g}", size=10)
        row_name(drawing, row, route)
    drawing.axis(unit)
    return drawing.svg()


def delays(groups: list[tuple[str, dict[str, list[figures.Figures]]]]) -> str:
    """The event loop's delay: percentiles of each route under each load."""
    keys = ("p50", "p99", "p99.9", "max")
    rows = [
        (what, route, samples)
        for what, routes in groups
        for route, samples in routes.items()
        if figures.samples_of(samples, "p99")
    ]
    values = [figures.median(samples, key) / 1000 for _, _, samples in rows for key in keys]
    drawing = Drawing(
        "How late an asyncio timer runs while a task logs",
        "NullHandler writes nothing: what it shows is the machine and the cost of the standard library's own call",
        len(rows),
        10 ** math.floor(math.log10(min(values))),
        10 ** math.ceil(math.log10(max(values))),
    )
    for row, (what, route, samples) in enumerate(rows):
        fill, y = colour(route, samples), drawing.y(row)
        at = {key: drawing.x(figures.median(samples, key) / 1000) for key in keys}
        drawing.dots(y, at, fill, "p99")
        short = {"null": "NullHandler", "logspool": "SpoolHandler", "fast": "logspool"}[route]
        drawing.text(
            LEFT - 10, y + 4, f"{what}: {short}", anchor="end", size=11, fill=OURS if route in figures.OURS else INK
        )
    drawing.axis("ms late (log scale): p50; p99 large; p99.9; max hollow; medians over the repeats")
    return drawing.svg()


SHORT_LOOPS = {
    "loop-2000": "2,000/s",
    "loop-20000": "20,000/s",
    "frozen-2000": "2,000/s, frozen disk, spool in shm",
    "frozen-20000": "20,000/s, frozen disk, spool in shm",
    "frozen-beside": "2,000/s, frozen disk and spool",
}


def write(measured: dict[str, Any], place: Path) -> dict[str, str]:
    """Draws what there are figures for into `place`; returns name → path relative to the document beside it."""
    drawn: dict[str, str] = {}
    routes = {name: group["routes"] for name, group in measured.items()}
    if "W2" in routes:
        drawn["calls"] = bars(
            routes["W2"],
            [("p50", "p50")],
            "One call with ten fields (W2): p50 in the caller",
            "calls made one after the other",
            "µs (log scale)",
            False,
        )
    if "paced" in routes:
        drawn["paced"] = percentiles(
            routes["paced"],
            "The tail: 2,000 records a second, rotation and gzip where a route can",
            "W2, a new file every 512 KiB; each dot the median of its figure over the repeats",
        )
    for name, title in (
        ("flat", "Flat out: one thread, no rotation"),
        ("flat-gzip", "Flat out: one thread, rotation and gzip"),
        ("flat-threads", "Flat out: four threads, no rotation"),
    ):
        if name in routes:
            drawn[name] = bars(
                routes[name],
                [("wall", "wall"), ("cpu_all", "CPU")],
                title,
                "strong: wall until all is on disk; pale: CPU of all threads; without what making the fields costs",
                "µs a record (log scale)",
                True,
            )
    if loops := [(what, routes[name]) for name, what in SHORT_LOOPS.items() if name in routes]:
        drawn["loop"] = delays(loops)
    place.mkdir(exist_ok=True)
    for name, svg in drawn.items():
        (place / f"{name}.svg").write_text(svg, encoding="utf-8")
    return {name: f"{place.name}/{name}.svg" for name in drawn}
