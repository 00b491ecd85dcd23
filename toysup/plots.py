"""The marks in matplotlib: figures for the page, and the printed copy of a panel.

Colours, shapes and limits are those of the panels in the browser. pyplot is never touched.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from PIL import Image  # comes with matplotlib

from toysup.marks import Arrows, Bars, Curves, Heat, Plot, Points

# Okabe and Ito's colours, told apart by most eyes; black is replaced by grey and yellow is darkened for white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B", "#C9BB00")
SHAPES = ("o", "s", "^", "D", "P", "v")
DASHES = ("-", (0, (5, 3)), (0, (1, 2)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (3, 1.5, 1, 1.5)))
_INK, _SOFT, _FULL = "#1f1f1f", "#5a5a5a", 0.8
_WRITTEN = 12
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#9a9a9a",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": "#9a9a9a",
    "ytick.color": "#9a9a9a",
    "xtick.labelcolor": _SOFT,
    "ytick.labelcolor": _SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
}


def show(plots: Plot | Sequence[Plot], text: str | None = None, *, title: str | None = None) -> Picture:
    """Plots side by side, as the last value of a notebook cell.

    plots: a `Plot` or a list of them. text: a line printed directly under the picture, its alternative text.
    title: a heading above all. Returns a `Picture`, which shows itself once.
    """
    return Picture(_listed(plots), text, title)


class Picture:
    """Plots that show themselves in a notebook as a PNG, with their line of text printed below."""

    def __init__(self, plots: list[Plot], text: str | None = None, title: str | None = None):
        self.plots, self.text, self.title = plots, text, title

    def __repr__(self) -> str:
        return f"Picture: {', '.join(plot.title for plot in self.plots)}"

    def figure(self) -> Figure:
        """A fresh matplotlib figure."""
        return figure(self.plots, title=self.title)

    def save(self, path, dpi: int = 200) -> None:
        """Write the figure to a file; its ending chooses the format."""
        with matplotlib.rc_context(_STYLE):
            self.figure().savefig(path, dpi=dpi)

    def png(self) -> bytes:
        """The picture as a small PNG."""
        return png(self.plots, title=self.title, dpi=110)

    def _repr_png_(self) -> bytes:
        return self.png()

    def _ipython_display_(self):
        # the text must follow the picture, which a returned value could not do: it comes after all that was printed
        from IPython.display import display

        display({"image/png": self.png(), "text/plain": repr(self)}, raw=True)
        if self.text is not None:
            print(self.text)


def figure(plots: Plot | Sequence[Plot], *, title: str | None = None) -> Figure:
    """Draw plots side by side, up to four in a row. Returns a `Figure` that pyplot does not know."""
    plots = _listed(plots)
    columns = len(plots) if len(plots) <= 4 else 3 if len(plots) in (5, 6, 9) else 4
    rows = math.ceil(len(plots) / columns)
    width = {1: 5.2, 2: 4.0, 3: 3.3}.get(columns, 2.7)
    height = {1: 3.2, 2: 3.0, 3: 2.9}.get(columns, 2.65)
    with matplotlib.rc_context(_STYLE):
        fig = Figure(figsize=(width * columns, height * rows + (0.3 if title else 0)), layout="constrained")
        FigureCanvasAgg(fig)
        fig.get_layout_engine().set(w_pad=0.09, h_pad=0.07, wspace=0.04, hspace=0.06)
        if title:
            fig.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        space = _head(plots, 72 * width)
        for place, plot in enumerate(plots, start=1):
            draw(fig.add_subplot(rows, columns, place), plot, space)
    return fig


def png(plots: Plot | Sequence[Plot], *, title: str | None = None, dpi: int = 100) -> bytes:
    """The figure as a PNG of at most 256 colours, about 10 to 25 kB."""
    with matplotlib.rc_context(_STYLE):
        fig = figure(plots, title=title)
        fig.set_dpi(dpi)
        fig.canvas.draw()
        pixels = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    out = io.BytesIO()
    _few_colours(pixels).save(out, "png", optimize=True)
    return out.getvalue()


def _few_colours(pixels: np.ndarray) -> Image.Image:
    """The 256 most frequent colours stay exact, so every flat area does; the rest, smoothed edges, take the nearest."""
    packed = pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    colours, where, counts = np.unique(packed, return_inverse=True, return_counts=True)
    kept = colours[np.argsort(-counts, kind="stable")[:256]]
    channels = lambda c: np.stack([c >> 16, c >> 8 & 255, c & 255], axis=-1)
    nearest = np.concatenate(
        [
            np.abs(channels(part)[:, None] - channels(kept)[None]).sum(-1).argmin(1)
            for part in np.array_split(colours, len(colours) // 1000 + 1)
        ]
    )
    image = Image.fromarray(nearest[where].reshape(packed.shape).astype(np.uint8), "P")
    image.putpalette(channels(kept).astype(np.uint8).tobytes())
    return image


@dataclasses.dataclass(frozen=True)
class _Space:
    """Room between axes and titles, in points; the same for all plots of a figure, so that titles stand level."""

    name: float
    legend: float
    width: float


def _head(plots, width) -> _Space:
    marks = [plot.mark for plot in plots]
    named = any(getattr(mark, "y_label", "") or (isinstance(mark, Bars) and mark.y) for mark in marks)
    rows = max(math.ceil(len(_names(mark)) / _columns(_names(mark), width)) for mark in marks)
    return _Space(16.0 if named else 4.0, 15.0 * rows, width)


def _names(mark) -> list[str]:
    labels = mark.labels if isinstance(mark, Curves) else getattr(mark, "group_labels", None)
    return [label for label in labels or () if label]


def _columns(names, width) -> int:
    widest = max((32 + 4.7 * len(name) for name in names), default=1)
    return max(1, min(len(names), int((width - 16) / widest)))


def draw(ax: Axes, plot: Plot, space: _Space | None = None) -> None:
    """Draw one plot into axes."""
    space = space or _head([plot], 72 * ax.bbox.width / ax.figure.dpi)
    ax.set_title(plot.title, pad=4 + space.name + space.legend)
    _DRAW[type(plot.mark)](ax, plot.mark)
    ax.set_anchor("N")
    if _names(plot.mark):
        _legend(ax, _names(plot.mark), space)


def _arrows(ax, mark: Arrows):
    _plane(ax, mark)
    for i, (x, y) in enumerate(mark.W.T):
        colour, shape = _look(mark, i)
        weight, alpha = mark.weights[i], 0.35 + 0.65 * mark.weights[i]
        ax.plot([0, x], [0, y], color=colour, lw=1.2 + 1.5 * weight, alpha=alpha, solid_capstyle="round")
        ax.plot(x, y, shape, color=colour, ms=5 + 2 * weight, mec="white", mew=1, alpha=alpha)
    for (x, y), label in zip(mark.hidden.T, mark.hidden_labels, strict=True):
        ax.plot(x, y, "D", mfc="white", mec=_INK, mew=1.6, ms=7)
        right = x + (9 + 5 * len(label)) * mark.limit / 85 < mark.limit  # else the label stands on the other side
        ax.annotate(
            label, (x, y), (9 if right else -9, -3), textcoords="offset points", ha="left" if right else "right"
        )
    _tip_labels(ax, mark)
    _group_handles(ax, mark)


def _plane(ax, mark):
    ax.set(xlim=(-mark.limit, mark.limit), ylim=(-mark.limit, mark.limit), aspect="equal")
    ax.axis("off")
    ax.plot([-mark.limit, mark.limit], [0, 0], color="#e3e3e3", lw=0.8, zorder=0)
    ax.plot([0, 0], [-mark.limit, mark.limit], color="#e3e3e3", lw=0.8, zorder=0)
    if mark.circle:
        angle = np.linspace(0, 2 * np.pi, 181)
        ax.plot(np.cos(angle), np.sin(angle), color="#b4b4b4", lw=0.9, ls=(0, (3, 4)), zorder=0)


def _tip_labels(ax, mark):
    """Tips that coincide share one label; features without a direction are named in the corner."""
    small, names = [], []
    for tip, label in zip(mark.W.T, mark.labels, strict=True):
        if not label:
            continue
        twin = next((entry for entry in names if np.hypot(*(entry[0] - tip)) < 0.06 * mark.limit), None)
        if np.hypot(*tip) < 0.09 * mark.limit:
            small.append(label)
        elif twin:
            twin[1] += f", {label}"
        else:
            names.append([tip, label])
    taken = []
    for tip, label in names:
        taken.append(_tip_label(ax, mark, tip, label, taken))
    if small:
        listed = ", ".join(small) if len(small) <= 8 else f"{len(small)} features"
        ax.text(0, 0, f"at 0: {listed}", transform=ax.transAxes, color=_SOFT, fontsize=8)


def _tip_label(ax, mark, tip, label, taken):
    """Write a label beyond its tip, further out while it would lie on another one; returns its place."""
    length, unit = float(np.hypot(*tip)), mark.limit / 85
    direction = tip / length
    out = length + (8 + 2.6 * len(label) * abs(direction[0])) * unit
    for _ in range(4):
        at = direction * out
        if not any(np.all(np.abs(at - other) < 10 * unit) for other in taken):
            break
        out += 12 * unit
    x, y = np.clip(at, -0.97 * mark.limit, 0.97 * mark.limit)
    ax.text(x, y, label, ha="center", va="center", fontweight="bold", fontsize=8.5)
    return at


def _heat(ax, mark: Heat):
    rows, columns = mark.matrix.shape
    square = rows == columns or 1 / 3 < rows / columns < 3
    size = min(8.5, 246 / ((max(rows, columns) if square else columns) * (mark.digits + 2.9)))
    written = max(rows, columns) <= _WRITTEN and size >= 5
    ax.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        _blend(mark.matrix / mark.limit),
        edgecolors="white" if rows <= 20 and columns <= 20 else "none",
        linewidth=0.8,
    )
    ax.set(
        xlim=(-0.5, columns - 0.5),
        ylim=(rows - 0.5, -0.5),
        aspect="equal" if square else "auto",
        xlabel=mark.x,
        ylabel=mark.y,
    )
    for axis, labels in ((ax.xaxis, mark.column_labels), (ax.yaxis, mark.row_labels)):
        every = _every(len(labels) / 12)
        axis.set_ticks(range(0, len(labels), every), labels=labels[::every])
        axis.set_tick_params(length=0)
    ax.spines[:].set_visible(False)
    if written:
        for (i, j), v in np.ndenumerate(mark.matrix):
            ax.text(j, i, _written(v, mark.digits), ha="center", va="center", fontsize=size)
    else:
        _scale_bar(ax, mark.limit)


def _scale_bar(ax, limit):
    bar = ax.inset_axes([1.04, 0, 0.05, 1])
    steps = np.linspace(-1, 1, 25)
    bar.pcolormesh([0, 1], limit * steps, _blend(((steps[1:] + steps[:-1]) / 2)[:, None]))
    bar.set(xticks=[])
    bar.yaxis.tick_right()
    bar.set_yticks([-limit, 0, limit], labels=[_plain(-limit), "0", _plain(limit)])
    bar.tick_params(length=0)
    bar.spines[:].set_visible(False)


def _bars(ax, mark: Bars):
    n = len(mark.values)
    single = mark.groups is None and n > len(COLOURS)
    index = np.zeros(n, int) if single else np.arange(n) if mark.groups is None else mark.groups.astype(int)
    ax.grid(axis="y")
    ax.bar(range(n), np.clip(mark.values, *mark.limits), width=0.72, color=[COLOURS[i % 8] for i in index], alpha=0.88)
    ax.axhline(0, color="#707070", lw=0.9)
    if mark.reference is not None:
        ax.axhline(mark.reference, color="#404040", lw=1.1, ls=(0, (4, 3)))
        ax.annotate(
            mark.reference_label,
            (1, mark.reference),
            (0, 3),
            ax.get_yaxis_transform(),
            "offset points",
            ha="right",
            fontsize=8,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    every = _every(n / 20)
    ax.set_xticks(range(0, n, every), labels=_in_turns(mark.labels[::every]))
    ax.set(ylim=mark.limits, xlim=(-0.6, max(n, 1) - 0.4), xlabel=mark.x)
    _y_name(ax, mark.y)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _plain(v)))
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    if n * (mark.digits + 2) <= 34:
        for i, v in enumerate(np.clip(mark.values, *mark.limits)):
            ax.annotate(
                _written(mark.values[i], mark.digits),
                (i, v),
                (0, -3 if v < 0 else 2.5),
                textcoords="offset points",
                ha="center",
                va="top" if v < 0 else "bottom",
                fontsize=7.5,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    _group_handles(ax, mark, bars=True)


def _in_turns(labels) -> list[str]:
    """Every other label a line lower where words would run into each other."""
    words = any(label.strip("-−.0123456789") for label in labels)
    tight = max((len(label) for label in labels), default=0) * len(labels) > 38
    return [f"\n{label}" if words and tight and i % 2 else label for i, label in enumerate(labels)]


def _curves(ax, mark: Curves):
    many = len(mark.ys) > 1
    for c, (y, label) in enumerate(zip(mark.ys, mark.labels, strict=True)):
        shape = SHAPES[c % len(SHAPES)] if mark.dots else None
        dash = DASHES[c % len(DASHES)] if many else "-"
        ax.plot(mark.x, y, color=COLOURS[c % 8], ls=dash, lw=1.8, marker=shape, ms=4, label=label or None)
    _axes(ax, mark)
    if mark.marker is not None and mark.limits_x[0] <= mark.marker <= mark.limits_x[1]:
        ax.axvline(mark.marker, color="#404040", lw=1.1, ls=(0, (4, 3)))
        scale = np.log if mark.log_x else np.asarray
        for c, y in enumerate(mark.ys):
            ax.plot(
                mark.marker,
                np.interp(scale(mark.marker), scale(mark.x), y),
                "o",
                color=COLOURS[c % 8],
                ms=7,
                mec="white",
                mew=1,
            )


def _points(ax, mark: Points):
    groups = np.zeros(len(mark.x), int) if mark.groups is None else mark.groups.astype(int)
    size = 4 if len(mark.x) > 300 else 9 if len(mark.x) > 80 else 20
    for g in np.unique(groups):
        style = {"s": size, "marker": SHAPES[g % len(SHAPES)], "color": COLOURS[g % 8], "alpha": 0.85, "linewidths": 0}
        ax.scatter(mark.x[groups == g], mark.y[groups == g], **style)
    if mark.highlight is not None:
        ax.plot(mark.x[mark.highlight], mark.y[mark.highlight], "o", mfc="none", mec=_INK, mew=1.6, ms=13)
    _axes(ax, mark)
    if mark.equal:
        ax.set_aspect("equal")
    _group_handles(ax, mark)


def _axes(ax, mark):
    """Limits, scales and names shared by curves and points; ticks in plain numbers."""
    for log, axis, limits in ((mark.log_x, ax.xaxis, mark.limits_x), (mark.log_y, ax.yaxis, mark.limits_y)):
        if log:
            axis.axes.set(**{f"{axis.axis_name}scale": "log"})
            decades = math.log10(limits[1] / limits[0])
            axis.set_major_locator(
                LogLocator(subs=(1, 2, 3, 5) if decades < 1.2 else (1, 3) if decades < 2.5 else (1,))
            )
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda v, _: _plain(v)))
    ax.set(xlim=mark.limits_x, ylim=mark.limits_y, xlabel=mark.x_label)
    _y_name(ax, mark.y_label)
    ax.grid(axis="y")
    ax.tick_params(length=3)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _group_handles(ax, mark, bars=False):
    """Empty artists that carry the names of groups into the legend."""
    for g, label in enumerate(mark.group_labels or ()):
        if label:
            ax.plot([], [], "s" if bars else SHAPES[g % len(SHAPES)], color=COLOURS[g % 8], ms=6, label=label)


def _legend(ax, names, space):
    shift = ScaledTranslation(-2 / 72, space.name / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=ax.transAxes + shift,
        ncols=_columns(names, space.width),
        handlelength=2,
        columnspacing=1.2,
        borderaxespad=0,
        borderpad=0,
        labelspacing=0.3,
        handletextpad=0.6,
    )


def _y_name(ax, name):
    """Level, above its axis: easier to read than turned."""
    if name:
        ax.annotate(name, (0, 1), (-14, 6), "axes fraction", "offset points")


def _look(mark, i) -> tuple[str, str]:
    if mark.groups is None:
        return COLOURS[i % 8], SHAPES[i // 8 % len(SHAPES)]
    return COLOURS[int(mark.groups[i]) % 8], SHAPES[int(mark.groups[i]) % len(SHAPES)]


def _blend(strength: np.ndarray) -> np.ndarray:
    """Colours on white for values in [-1, 1]: blue below 0, orange above; (..., 3)."""
    pole = np.where(strength[..., None] < 0, matplotlib.colors.to_rgb(COLOURS[0]), matplotlib.colors.to_rgb(COLOURS[1]))
    amount = _FULL * np.clip(np.abs(strength), 0, 1)[..., None]
    return 1 - amount * (1 - pole)


def _every(least: float) -> int:
    """Labels stand at calm intervals."""
    return next((k for k in (1, 2, 5, 10, 20, 50, 100) if k >= least), 200)


def _written(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def _plain(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def _listed(plots) -> list[Plot]:
    plots = [plots] if isinstance(plots, Plot) else list(plots)
    wrong = [type(p).__name__ for p in plots if not isinstance(p, Plot)]
    if wrong or not plots:
        raise TypeError(f"plots must be a Plot or a list of them, got {wrong[0] if wrong else 'none'}")
    return plots


_DRAW: dict[type, Callable] = {Arrows: _arrows, Heat: _heat, Bars: _bars, Curves: _curves, Points: _points}
