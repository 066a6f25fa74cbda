"""`tfunlearn evaluate --gme`, `tfunlearn ratio`, and messages of `unlearn --method
memorization`."""

from __future__ import annotations

import csv

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
    assert code == 0 and "method    memorization: ratio 0.2 by abs_mean_delta" in out
    assert "one round locates" in out and "weights reset (threshold" in out
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
    assert "retrain   model 2 that is not there yet: 3 rounds without client:0" in out
    assert "leave-one-out" in out and "95-100 % (2)" in out
    assert "warning: 2 retrained models grade, 3 or more are better" in out
    assert (trained / "g.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((trained / "g.csv").open()))
    line = next(r for r in rows if (r["model"], r["group"]) == ("memorization", "all"))
    assert f"{100 * float(line['accuracy']):.1f} (" in out
    code, _, err = call("evaluate", "run-memorization", "--gme", "--csv", "g.csv")
    assert code == 2 and "csv: 'g.csv' is not allowed; allowed is a new file" in err
    code, out, _ = call("evaluate", "run-memorization", "--gme", "--retrains", "2")
    assert code == 0 and "not there yet" not in out  # they are reused
    code, out, _ = call("evaluate", "run-memorization")
    assert code == 0 and "memorization: mad of the clients' change in loss" in out
    assert "after" in out and "client steps" in out


def test_a_ratio_is_suggested_and_nothing_is_changed(call, trained):
    before = sorted(path.name for path in trained.iterdir())
    code, out, err = call("ratio", "run", "--client", "0", "--plot", "ratio.png")
    assert (code, err) == (0, "") and "relative" in out and "decade" in out
    assert sorted(path.name for path in trained.iterdir()) == sorted([*before, "ratio.png"])
    for knee in ("nan", "0", "low"):
        code, _, err = call("ratio", "run", "--client", "0", "--knee", knee)
        assert (code, err.count("\n")) == (2, 1) and "allowed is auto, or 1e-30 to 1e30" in err
    code, _, err = call("ratio", "run", "--client", "0", "--saliency", "salun")
    assert (code, err.count("\n")) == (2, 1) and "saliency: 'salun' is not allowed" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "run"], "run: '2 runs' is not allowed; allowed is one, or several with --gme"),
        (
            ["run", "--retrains", "3"],
            "retrains: 3 is not allowed; allowed is nothing without --gme",
        ),
        (["run", "--client", "0"], "forget: 'client:0' is not allowed; allowed is nothing without"),
        (
            ["run", "--gme", "--retrains", "1"],
            "retrains: 1 is not allowed; allowed is a whole number",
        ),
        (["run", "--gme"], "forget: 'nothing' is not allowed; allowed is a request"),
        (["run", "--gme", "--client", "77"], "client: 77 is not allowed; allowed is 0 to 5"),
        (["run", "--gme", "--examples", "0:1,0:2"], "whose groups are too small: 95-100 (0)"),
        (["run", "--gme", "--client", "0", "--plot", "x.jpg"], "plot: 'x.jpg' is not allowed"),
        (["run", "--gme", "--client", "0", "--scores", "checkpoints"], "scores: 'checkpoints'"),
        (["run", "--gme", "--client", "0", "--scores", "subsets", "--omitted", "6"], "omitted: 6"),
        (
            ["run", "--gme", "--client", "0", "--csv", "x.csv", "--scores-csv", "./x.csv"],
            "scores_csv: './x.csv' is not allowed; allowed is another file than csv's",
        ),
        (["nowhere", "--gme"], "run: 'nowhere' is no run directory"),
    ],
)
def test_mistakes_are_one_line(call, words, message):
    code, out, err = call("evaluate", *words)
    assert (code, err.count("\n")) == (2, 1) and message in err
