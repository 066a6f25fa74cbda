"""Creation and saving of figures without a display, independent of the matplotlib backend."""

from __future__ import annotations

import os
import warnings

from tfunlearn.core.files import replacing
from tfunlearn.core.plotting import import_matplotlib


def empty_figure(width: float, height: float):
    """Return an empty matplotlib figure; width and height in inches.

    No interactive backend is used, so that an MPLBACKEND that names an unavailable backend (such as
    a notebook's) is harmless; matplotlib itself raises an error for it when it is imported.
    """
    return import_matplotlib().figure.Figure(figsize=(width, height), layout="constrained")


def new_figure(width: float, height: float):
    """Return an empty figure and its axes; width and height in inches, at most 40 inches wide."""
    figure = empty_figure(min(width, 40), height)
    return figure, figure.subplots()


def colormap(name: str, colors: int):
    """Return a matplotlib color map resampled to a number of colors."""
    return import_matplotlib().colormaps[name].resampled(colors)


def save_figure(figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, atomically; its layout becomes fixed."""
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing glyphs, narrow panels
        render(figure, temporary)


def render(figure, path: str | os.PathLike) -> None:
    """Lay out a figure and draw it once to a PNG file.

    `Figure.savefig` draws twice, the first time to lay out; the picture is the same.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(120)
    canvas = FigureCanvasAgg(figure)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    canvas.print_png(path)


def simplify_log_ticks(axes) -> None:
    """Draw the ticks of logarithmic axes with set limits at less cost; the picture is the same.

    Matplotlib's locators also return ticks outside the limits, and each tick is an object that is
    created, placed and formatted several times per figure. Here the minor ticks of an axis are the
    markers of one line. The axes must span more than a decade, where minor ticks have no labels.
    """
    from matplotlib import rcParams
    from matplotlib.markers import TICKDOWN, TICKLEFT
    from matplotlib.ticker import FixedLocator, NullLocator

    for axis, marker in ((axes.xaxis, TICKDOWN), (axes.yaxis, TICKLEFT)):
        low, high = axis.get_view_interval()
        major, minor = (
            [place for place in places if low <= place <= high]
            for places in (axis.get_majorticklocs(), axis.get_minorticklocs())
        )
        axis.set_major_locator(FixedLocator(major))
        axis.set_minor_locator(NullLocator())
        points, style = [minor, [0] * len(minor)], f"{axis.axis_name}tick"
        horizontal = axis is axes.xaxis
        axes.plot(
            *(points if horizontal else reversed(points)),
            linestyle="",
            marker=marker,
            markersize=rcParams[f"{style}.minor.size"],
            markeredgewidth=rcParams[f"{style}.minor.width"],
            color=rcParams[f"{style}.color"],
            transform=axes.get_xaxis_transform() if horizontal else axes.get_yaxis_transform(),
            clip_on=False,
            in_layout=False,
        )
