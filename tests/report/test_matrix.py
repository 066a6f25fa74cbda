"""Tables of means and spreads."""

from __future__ import annotations

import csv
import math

import pytest

from tfunlearn.report.matrix import Matrix, save_matrix

NAN = math.nan
MATRIX = Matrix(
    "50 % of a_b & co",
    "attack_success",
    ["krum", "mean"],
    ["flip", "alie"],
    {("krum", "flip"): [0.1, 0.2, 0.3], ("krum", "alie"): [0.5], ("mean", "flip"): [0.1, NAN]},
    {("krum", "flip"): 0.25},
)


def test_mean_and_spread_by_hand():
    assert MATRIX.mean("krum", "flip") == pytest.approx(0.2)
    assert MATRIX.spread("krum", "flip") == pytest.approx(0.1)  # 1 / (n - 1)
    assert math.isnan(MATRIX.spread("krum", "alie"))
    assert MATRIX.text("krum", "flip") == "0.200 ± 0.100"
    assert MATRIX.text("krum", "alie") == "0.500"
    assert MATRIX.text("mean", "flip") == "-" and MATRIX.text("mean", "alie") == "-"


def test_a_cell_with_a_failed_unlearning_says_so(tmp_path):
    matrix = Matrix(
        "t",
        "test_accuracy",
        ["fedup"],
        ["c"],
        {("fedup", "c"): [0.9, NAN]},
        failed={("fedup", "c"): 1},
    )
    assert matrix.text("fedup", "c") == "1 of 2 failed" and math.isnan(matrix.mean("fedup", "c"))
    save_matrix(tmp_path / "table", matrix)
    assert "fedup & 1 of 2 failed \\\\" in (tmp_path / "table.tex").read_text()


def test_csv_latex_and_picture(tmp_path):
    save_matrix(tmp_path / "table", MATRIX)
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert len(rows) == 4
    assert rows[0] == dict(
        row="krum",
        column="flip",
        seeds="3",
        mean="0.200000",
        spread="0.100000",
        least="0.100000",
        most="0.300000",
        published="0.250000",
    )
    assert rows[3]["seeds"] == "0" and rows[3]["mean"] == ""
    latex = (tmp_path / "table.tex").read_text()
    assert r"50 \% of a\_b \& co" in latex
    assert r"krum & $0.200 \pm 0.100$ (0.250) & $0.500$ \\" in latex
    assert r"mean & -- & -- \\" in latex and latex.count("tabular") == 2
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "table.csv",
        "table.png",
        "table.tex",
    ]


def test_labels_are_text_whatever_they_hold(tmp_path):
    odd = [r"$\frac$", "[red]x[/red]", "名前", "x" * 300]
    save_matrix(tmp_path / "odd", Matrix("$\\", "test_loss", odd, odd, {(odd[0], odd[0]): [2.0]}))
    assert (tmp_path / "odd.png").read_bytes().startswith(b"\x89PNG")
    assert r"\$\textbackslash{}frac\$" in (tmp_path / "odd.tex").read_text()
