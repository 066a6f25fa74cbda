"""Figures, drawn and written without a screen, whatever the environment says of either."""

from __future__ import annotations

import os
import sys
import warnings

from tfunlearn.core.files import replacing


def empty_figure(width: float, height: float):
    """Returns an empty matplotlib figure of so many inches.

    It is drawn by no backend, so that an MPLBACKEND that names none (a notebook's, whose kernel is
    elsewhere) makes no difference; matplotlib itself stops on it when it is imported.
    """
    return _matplotlib().figure.Figure(figsize=(width, height), layout="constrained")


def new_figure(width: float, height: float):
    """Returns an empty figure of so many inches, at most 40 wide, and its axes."""
    figure = empty_figure(min(width, 40), height)
    return figure, figure.subplots()


def colormap(name: str, colors: int):
    """Returns a matplotlib color map of so many colors."""
    return _matplotlib().colormaps[name].resampled(colors)


def save_figure(figure, path: str | os.PathLike) -> None:
    """Writes a figure as PNG, atomically."""
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # signs that the font does not have, panels too narrow
        figure.savefig(temporary, dpi=120)


def _matplotlib():
    """Imports matplotlib, without MPLBACKEND if that names a backend it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own libraries, which are errors for some callers
        try:
            import matplotlib.figure
        except ValueError:
            named = os.environ.pop("MPLBACKEND", None)
            if named is None:
                raise
            for name in [name for name in sys.modules if name.startswith("matplotlib")]:
                del sys.modules[name]  # half of it has been imported
            try:
                import matplotlib.figure
            finally:
                os.environ["MPLBACKEND"] = named
    return matplotlib
