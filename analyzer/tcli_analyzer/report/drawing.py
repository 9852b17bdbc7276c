"""Charts as SVG and PNG, by matplotlib: words stay words, and what the pointer rests on tells its numbers without any script."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tcli_analyzer.numbers import short

# Okabe and Ito's palette: told apart by people who do not see all colours.
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442",
)  # fmt: skip
COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, "#8c6d31", "#6b6ecf")
INK, SOFT, LINE = "#1d2733", "#4b5866", "#dde3ea"

_FONT = "system-ui, -apple-system, &quot;Segoe UI&quot;, &quot;DejaVu Sans&quot;, sans-serif"

_LONG_NUMBER = re.compile(r"(\d\.\d\d)\d+")
"""A hundredth of a pixel is enough."""


@dataclass(frozen=True, slots=True)
class Shape:
    """For which width a chart is drawn, in pixels of the page."""

    name: str
    width: int
    font: float

    @property
    def is_narrow(self) -> bool:
        return self.name == "narrow"


WIDE = Shape("wide", 860, 12.5)
NARROW = Shape("narrow", 340, 11.5)


class Drawing:
    """A figure in the making.

    Args:
        height: in pixels, of the whole figure.
    """

    def __init__(self, shape: Shape, height: float) -> None:
        self.shape = shape
        self.figure = Figure(figsize=(shape.width / 72, height / 72), dpi=72, layout="constrained")
        self._titles: dict[str, str] = {}

    def axes(self, rows: int = 1, columns: int = 1) -> list[Axes]:
        """Row by row."""
        return list(self.figure.subplots(rows, columns, squeeze=False).flat)

    def title_of(self, artist: Any, text: str) -> None:
        """What shows where the pointer rests on it."""
        gid = f"t{len(self._titles)}"
        artist.set_gid(gid)
        self._titles[gid] = text

    def dot(self, axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
        """One marker with its numbers."""
        (artist,) = axes.plot([x], [y], linestyle="none", clip_on=False, **style)
        self.title_of(artist, text)

    def svg(self, prefix: str, alt: str) -> str:
        """An element for a page.

        Args:
            prefix: that no other chart of the page has.
            alt: what a reader hears who sees no pictures.
        """
        file = io.StringIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        return _for_page(file.getvalue(), prefix, alt, self._titles)

    def png(self) -> bytes:
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=144, facecolor="white", metadata={"Software": "tcli"})
        return file.getvalue()


@dataclass(frozen=True)
class Chart:
    """What can be drawn for a page of any width.

    Attributes:
        name: of files and elements.
        alt: what it shows, for who sees no pictures.
        draw: makes it.
        key: what its marks mean: HTML colour or letter, and words.
    """

    name: str
    alt: str
    draw: Callable[[Shape], Drawing]
    key: tuple[tuple[str, str], ...] = field(default=())

    def html(self) -> str:
        """For both widths; the page's style shows the one that fits."""
        drawn = []
        for shape in (WIDE, NARROW):
            with style(shape):
                drawn.append(
                    f'<div class="chart {shape.name}">'
                    f"{self.draw(shape).svg(f'{self.name}-{shape.name}-', self.alt)}</div>"
                )
        return "".join(drawn)

    def png(self) -> bytes:
        """The wide one, twice as large."""
        with style(WIDE):
            return self.draw(WIDE).png()


@contextmanager
def style(shape: Shape) -> Iterator[None]:
    """Ours, whatever the user's own settings of matplotlib are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "tcli",
                "font.family": "DejaVu Sans",
                "font.size": shape.font,
                "axes.edgecolor": "#9aa6b2",
                "axes.labelcolor": INK,
                "axes.titlesize": shape.font,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "axes.axisbelow": True,
                "grid.color": LINE,
                "grid.linewidth": 1,
                "text.color": INK,
                "xtick.color": SOFT,
                "ytick.color": SOFT,
                "xtick.labelsize": shape.font - 0.5,
                "ytick.labelsize": shape.font - 0.5,
                "legend.frameon": False,
                "legend.fontsize": shape.font - 0.5,
                "lines.linewidth": 2,
                "lines.markersize": 6,
            }
        )
        yield


def number_axis(axis: Any, values: list[float], log_from: float = 12.0) -> None:
    """Readable numbers; a logarithmic axis where the values span a lot."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    known = [value for value in values if value > 0]
    name = axis.axis_name
    if known and max(known) / min(known) > log_from:
        getattr(axis.axes, f"set_{name}scale")("log")
        low, high = min(known), max(known)
        ticks = [
            base * 10.0**power
            for power in range(-6, 10)
            for base in (1, 2, 5)
            if low / 2 <= base * 10.0**power <= 2 * high
        ]
        if len(ticks) > 7:
            ticks = [tick for tick in ticks if f"{tick:e}"[0] == "1"]
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        getattr(axis.axes, f"set_{name}lim")(low / 1.25, high * 1.25)
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        getattr(axis.axes, f"set_{name}lim")(0, 1.1 * max(known, default=1.0))


def _tick(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else short(value)


def _for_page(text: str, prefix: str, alt: str, titles: dict[str, str]) -> str:
    """Matplotlib's document as an element: without what only files need, with ids of its own, and with titles."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", lambda tag: _LONG_NUMBER.sub(r"\1", tag[0]), text)
    for gid, title in titles.items():
        text = text.replace(f'<g id="{gid}">', f"<g><title>{escape(title)}</title>", 1)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", text)
    text = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", _FONT, text)
    text = re.sub(r"\n\s*", "\n", text)
    head, _, rest = text.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None
    return f'<svg role="img" aria-label="{escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]}>{rest}'
