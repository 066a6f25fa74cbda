"""`tfunlearn evaluate --gme`, `tfunlearn ratio`, and messages of `unlearn --method
memorization`."""

from __future__ import annotations

import csv
import re

import pytest


def test_unlearn_then_evaluate_by_groups(call, trained):
    code, out, err = call(
        "unlearn",
        "run",
        "--method",
        "memorization",
        "--client",
        "0",
        "--ratio",
        "0.2",
        "--recovery-rounds",
        "1",
        "--no-reference",
    )
    assert code == 0 and "method    memorization: ratio 0.2, saliency abs_mean_delta" in out
    assert "one round on the retain set" in out and "weights reset (threshold" in out
    code, out, err = call(
        "evaluate",
        "run-memorization",
        "--gme",
        "--retrains",
        "2",
        "--csv",
        "g.csv",
        "--plot",
        "g.png",
        "--scores-csv",
        "s.csv",
    )
    assert (code, err) == (0, "") and "\x1b" not in out
    assert "retrain   model 2: 3 rounds without client:0" in out
    assert "leave-one-out" in out and "95-100 % (2)" in out
    assert "warning: 2 retrained models for comparison; 3 or more are better" in out
    assert (trained / "g.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((trained / "g.csv").open()))
    line = next(r for r in rows if (r["model"], r["group"]) == ("memorization", "all"))
    assert f"{100 * float(line['accuracy']):.1f} (" in out
    code, _, err = call("evaluate", "run-memorization", "--gme", "--csv", "g.csv")
    assert code == 2 and re.search("csv: .*a new file.*got 'g.csv'", err)
    code, out, _ = call("evaluate", "run-memorization", "--gme", "--retrains", "2")
    assert code == 0 and "retrain   model" not in out  # they are reused
    code, out, _ = call("evaluate", "run-memorization")
    assert code == 0 and "memorization: local fairness (mad of the clients' changes in loss)" in out
    assert "after" in out and "client steps" in out


def test_a_ratio_is_suggested_and_nothing_is_changed(call, trained):
    before = sorted(path.name for path in trained.iterdir())
    code, out, err = call("ratio", "run", "--client", "0", "--plot", "ratio.png")
    assert (code, err) == (0, "") and "relative" in out and "decade" in out
    assert sorted(path.name for path in trained.iterdir()) == sorted([*before, "ratio.png"])
    for knee in ("nan", "0", "low"):
        code, _, err = call("ratio", "run", "--client", "0", "--knee", knee)
        assert (code, err.count("\n")) == (2, 1) and re.search(
            f"knee: .*1e-30 to 1e30; got .*{knee}", err
        )
    code, _, err = call("ratio", "run", "--client", "0", "--saliency", "salun")
    assert (code, err.count("\n")) == (2, 1) and re.search("saliency: .*got 'salun'", err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "run"], "run: .*got '2 runs'"),
        (
            ["run", "--retrains", "3"],
            "retrains: .*without --gme; got 3",
        ),
        (["run", "--client", "0"], "forget: .*without --gme; got 'client-name:0'"),
        (
            ["run", "--gme", "--retrains", "1"],
            "retrains: .*got 1",
        ),
        (["run", "--gme"], r"forget: .*a request.*got \[\]"),
        (["run", "--gme", "--client", "77"], "client: .*0 to 5; got 77"),
        (["run", "--gme", "--examples", "0:1,0:2"], r"whose groups are too small: 95-100 \(0\)"),
        (["run", "--gme", "--client", "0", "--plot", "x.jpg"], "plot: .*got 'x.jpg'"),
        (
            ["run", "--gme", "--client", "0", "--scores", "checkpoints"],
            "scores: .*got 'checkpoints'",
        ),
        (
            ["run", "--gme", "--client", "0", "--scores", "subsets", "--omitted", "6"],
            "omitted: .*got 6",
        ),
        (
            ["run", "--gme", "--client", "0", "--csv", "x.csv", "--scores-csv", "./x.csv"],
            "scores_csv: .*got './x.csv'",
        ),
        (["nowhere", "--gme"], "run: 'nowhere' is no run directory"),
    ],
)
def test_mistakes_are_one_line(call, words, message):
    code, out, err = call("evaluate", *words)
    assert (code, err.count("\n")) == (2, 1) and re.search(message, err)
