"""Figures are the pictures that matplotlib draws, at less cost."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tfunlearn.report.figures import empty_figure, save_figure, simplify_log_ticks


def drawn(low: float, *, simple: bool):
    """A figure with logarithmic axes, a legend beside them, and text."""
    figure = empty_figure(7, 3.5)
    first, second = figure.subplots(1, 2)
    first.plot([low, 0.3, 1], [low, 0.7, 1], label="a curve")
    first.set(
        xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1.05), xlabel="x", title="curves"
    )
    if simple:
        simplify_log_ticks(first)
    second.imshow(np.eye(3))
    second.text(1, 1, "50", ha="center", in_layout=not simple)
    first.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@pytest.mark.parametrize("low", [0.08, 0.0014, 2e-6])
def test_a_figure_is_the_picture_that_matplotlib_saves(tmp_path, low):
    drawn(low, simple=False).savefig(tmp_path / "theirs.png", dpi=120)
    save_figure(drawn(low, simple=True), tmp_path / "ours.png")
    ours, theirs = (Image.open(tmp_path / f"{name}.png") for name in ("ours", "theirs"))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert ours.info["dpi"] == theirs.info["dpi"]
