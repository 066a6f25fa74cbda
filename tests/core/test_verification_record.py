"""Verification records as JSON, of this and of earlier builds."""

from __future__ import annotations

import json

import pytest

from tfunlearn.core.verification_record import Comparison, VerificationRecord

ROC = dict(
    auc=0.75,
    balanced_accuracy=0.7,
    tpr_at={"0.01": 0.2},
    resolved={"0.01": False},
    members=20,
    others=30,
    resolution=1 / 30,
    fpr=[0.0, 1.0],
    tpr=[0.0, 1.0],
)
PART = {"before": 0.9, "after": None, "retrained": [0.5, None]}
EVIDENCE = dict(
    name="forgotten accuracy",
    before=0.9,
    after=0.5,
    retrained=[0.5],
    tolerance=0.01,
    mean=0.5,
    spread=None,
    gap=0.0,
    noise=0.01,
)


def content(**changed) -> dict:
    attack = {"before": ROC, "after": ROC, "retrained": [ROC], "more": {"before": {"fpr": 0.1}}}
    found = dict(
        key="k",
        verification=2,
        settings={"retrains": 1},
        method="not",
        requests=[["client:1"]],
        run_checkpoint_sha256="a",
        source_checkpoint_sha256="b",
        retrained=[{"path": "p", "seed": 1, "checkpoint_sha256": "c"}],
        run="run-not",
        source="run",
        seed=0,
        versions={"python": "3.11"},
        counts={"forgotten": 20},
        poisoned=False,
        partly_poisoned=False,
        overlap=0.0,
        measures={"test accuracy": PART},
        classes=[{"label": 1, "examples": 2, "accuracy": PART, "loss": PART}],
        clients=[{"client": 1, "data": "forgotten", "examples": 2, "accuracy": PART, "loss": PART}],
        confusion={"before": [[1]], "after": [[1]], "retrained": [[[1]]]},
        groups=None,
        membership={"threshold": attack, "threshold, retain set": attack},
        evidence=[
            dict(
                EVIDENCE,
                utility=False,
                examples=20,
                p_value=None,
                graded=True,
                informative=True,
                outside=None,
                closed=None,
                detectable=None,
                word="within the noise",
            )
        ],
        verdict={"word": "no verdict", "plain": "p", "sentence": "s", "words": ["no verdict"]},
        not_tested=[],
        seconds=1.5,
        relearning=dict(
            curves={"after": [[0, 0.1]]},
            steps={"after": None},
            limit=5,
            each=1,
            examples=20,
            original=0.9,
            goal=0.855,
            index="inf",
        ),
    )
    return {**found, **changed}


def test_nothing_is_lost_on_the_way_through_a_record():
    stored = content()
    record = VerificationRecord.of(stored)
    assert record.measures["test accuracy"] == Comparison(0.9, None, [0.5, None])
    assert record.measures["test accuracy"].known == [0.5]
    assert record.relearning is not None and record.relearning.index == float("inf")
    assert list(record.curves["threshold"]) == ["before", "after", "retrained 1"]
    back = json.loads(json.dumps(record.as_json()))
    assert back == stored and "shadows" not in back and record.shadows is None


def test_records_of_the_first_verdict_are_read():
    attack = content()["membership"]["threshold"]
    record = VerificationRecord.of(
        content(
            verification=1,
            evidence=[dict(EVIDENCE, band=None, grade="not", within=False, tells=True, closed=0.4)],
            verdict={"word": "not", "sentence": "s"},
            membership={"threshold": attack, "threshold, those who stay": attack},
        )
    )
    (evidence,) = record.evidence
    assert (evidence.word, evidence.graded, evidence.closed) == ("not", True, None)
    assert record.verdict.plain is None and list(record.membership)[1] == "threshold, retain set"


@pytest.mark.parametrize(
    "changed", [{"more": 1}, {"verdict": {"word": "w"}}, {"classes": {}}, {"measures": []}]
)
def test_another_structure_is_refused(changed):
    with pytest.raises(TypeError):
        VerificationRecord.of(content(**changed))
