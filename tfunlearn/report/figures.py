"""Creation and saving of figures without a display, independent of the matplotlib backend."""

from __future__ import annotations

import os
import sys
import warnings

from tfunlearn.core.files import replacing


def empty_figure(width: float, height: float):
    """Return an empty matplotlib figure; width and height in inches.

    No interactive backend is used, so that an MPLBACKEND that names an unavailable backend (such as
    a notebook's) is harmless; matplotlib itself raises an error for it when it is imported.
    """
    return _matplotlib().figure.Figure(figsize=(width, height), layout="constrained")


def new_figure(width: float, height: float):
    """Return an empty figure and its axes; width and height in inches, at most 40 inches wide."""
    figure = empty_figure(min(width, 40), height)
    return figure, figure.subplots()


def colormap(name: str, colors: int):
    """Return a matplotlib color map resampled to a number of colors."""
    return _matplotlib().colormaps[name].resampled(colors)


def save_figure(figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, atomically."""
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing glyphs, narrow panels
        figure.savefig(temporary, dpi=120)


def _matplotlib():
    """Import matplotlib, without MPLBACKEND if that names a backend unknown to matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its dependencies; errors for some callers
        try:
            import matplotlib.figure
        except ValueError:
            named = os.environ.pop("MPLBACKEND", None)
            if named is None:
                raise
            for name in [name for name in sys.modules if name.startswith("matplotlib")]:
                del sys.modules[name]  # partially imported
            try:
                import matplotlib.figure
            finally:
                os.environ["MPLBACKEND"] = named
    return matplotlib
