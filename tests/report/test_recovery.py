"""The picture of an unlearning."""

from __future__ import annotations

import dataclasses

import pytest

from tfunlearn.core.records import Measured
from tfunlearn.report import figures, save_recovery
from tfunlearn.report.recovery import SHOWN


def measures(value):
    return {**dict.fromkeys(SHOWN, value), "poisoned_accuracy": None}


@pytest.mark.parametrize("waited", [0, 2])
def test_recovery_begins_at_zero(tmp_path, monkeypatch, waited):
    drawn, kept = [], figures.render
    monkeypatch.setattr(
        figures, "render", lambda figure, path: (drawn.append(figure), kept(figure, path))
    )
    lines = [dict(measures(0.5), phase="wait")] * waited + [
        dict(measures(0.6 + n / 10), phase="recover") for n in range(3)
    ]
    measured = Measured(measures(0.9), measures(0.2), measures(0.8), measures(0.7))
    save_recovery(tmp_path / "curves.png", lines, measured)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    curve = drawn[0].axes[0].get_lines()[0]
    points = dict(zip(curve.get_xdata(), curve.get_ydata()))
    assert points[0] == 0.2 and points[3] == 0.8 and points[-1 - waited] == 0.9
    assert [points[-1 - n] for n in range(waited)] == [0.5] * waited
    labels = [line.get_label() for line in drawn[0].axes[0].get_lines()]
    assert "forgotten data" in labels and "forgotten, poisoned" not in labels
    save_recovery(tmp_path / "curves.png", [], dataclasses.replace(measured, retrained=None))
