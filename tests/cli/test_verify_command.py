"""`tfunlearn verify`, `report` and `resume` on the command line."""

from __future__ import annotations

import json
import re

import pytest


@pytest.fixture
def unlearned(call, trained):
    """`call`, after `run-not` was made."""
    if not (trained / "run-not").exists():
        code, _, err = call(
            "unlearn",
            "run",
            "--client",
            "1",
            "--method",
            "not",
            "--recovery-rounds",
            "1",
            "--no-reference",
        )
        assert code == 0, err
    return call


def test_evidence_attacks_and_verdict_are_shown_then_found_again(unlearned, trained):
    words = (
        "verify",
        "run-not",
        "--retrains",
        "3",
        "--relearn-epochs",
        "1",
        "--shadow-models",
        "1",
        "--no-inversion",
    )
    code, out, err = unlearned(*words)
    record = json.loads((trained / "run-not" / "verification" / "verification.json").read_text())
    assert code == 0 and err == "" and "\x1b" not in out
    told = [line for line in out.splitlines() if not line.startswith(("loading", "retrain"))]
    verdicts = [n for n, line in enumerate(told) if line.startswith("verdict   ")]
    assert told[verdicts[0]] == f"verdict   {record['verdict']['plain']}"
    assert told[verdicts[0] + 1] == f"reasons   {record['verdict']['sentence']}"
    assert "shadows   recall on the forget set (false-positive rate in brackets): before" in out
    for e in record["evidence"]:
        assert any(
            line.strip().startswith(e["name"]) and f"{e['after']:.4g}" in line
            for line in out.splitlines()
        )
    assert "non-members resolve false-positive rates of at" in out
    assert "untested  model inversion (--inversion)" in out and "anamnesis index" in out
    code, out, err = unlearned(*words)
    assert code == 0 and "found     run-not/verification, an earlier verification" in out
    assert {path.name for path in (trained / "run-not" / "verification").iterdir()} == {
        "verification.json",
        "roc.png",
        "relearning.png",
    }


def test_a_report_of_several_runs(unlearned, trained):
    code, out, err = unlearned("report", "run-not", "run", "--out", "told")
    assert code == 0 and err == "" and out.startswith("written   told/report.html")
    text = (trained / "told" / "report.html").read_text()
    assert "Side by side" in text and text.count("data:image/png;base64") >= 6
    code, out, err = unlearned("report", "run-not", "--out", "told")
    assert code == 2 and re.search("out: .*a new folder; got 'told'", err)


def test_a_finished_run_is_checked(unlearned, trained):
    code, out, err = unlearned("resume", "run")
    assert code == 0 and err == "" and "resume    after round 3 of 3" in out
    (trained / "run" / "checkpoint.npz").write_bytes(b"torn")
    code, out, err = unlearned("evaluate", "run")
    assert code == 2 and err.count("\n") == 1 and "tfunlearn resume run" in err
    code, out, err = unlearned("resume", "run")
    assert code == 0 and "warning: run/checkpoint.npz cannot be read" in out
    assert "resume    after round 2 of 3" in out
    assert unlearned("evaluate", "run")[0] == 0
