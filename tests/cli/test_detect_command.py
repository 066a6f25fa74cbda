"""`detect`, `unlearn --detected`, and the chain of `train --detect NAME --then report`."""

from __future__ import annotations

import json
import shutil

import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import digest_of
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.detection import detect_run
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings

SMALL = ["--train-examples", "600", "--model", "mlp", "--clients", "9", "--malicious", "3"]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A folder with runs `bad` (sign-flip) and `clean`, whose rounds are all kept."""
    folder = tmp_path_factory.mktemp("attacked")
    common = dict(train_examples=600, model="mlp", clients=9, rounds=7, history="all")
    train(run_config(attack="sign-flip", malicious=3, **common), out=folder / "bad")
    train(run_config(**common), out=folder / "clean")
    return folder


@pytest.fixture
def inside(attacked, monkeypatch, typed):
    monkeypatch.chdir(attacked)
    return typed


def test_findings_are_shown_graded_and_stored(inside, attacked):
    code, out, err = inside("detect", "bad", "--detector", "multi-krum", "--detector", "foolsgold")
    assert code == 0 and not err, err
    stored = json.loads((attacked / "bad" / "detections.json").read_text())["detections"]
    found = {one["found"]["detector"]: one["found"] for one in stored}
    flagged = found["multi-krum"]["flagged"]
    assert len(flagged) == 3 and found["multi-krum"]["rounds"] == list(range(1, 8))
    names = ", ".join(f"'{k}'" for k in flagged)
    assert f"flagged   {names}: the scores form" in out
    assert "graded    precision 1.0000, recall 1.0000, F1 1.0000, AUC 1.0000; all flagged" in out
    assert "next      tfunlearn unlearn bad --detected --detector multi-krum" in out
    code, out, _ = inside("detect", "clean", "--detector", "multi-krum")
    assert code == 0 and "graded    no client attacked; 0 of 9 flagged by mistake" in out


def test_who_attacked_is_read_for_the_grades_only(inside, attacked, tmp_path):
    whole = detect_run(attacked / "bad", ["multi-krum", "fldetector"], window=2)
    copy = tmp_path / "copy"
    shutil.copytree(attacked / "bad", copy)
    (copy / "partition.npz").unlink()
    (copy / "clients.csv").unlink()
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "attack": ["none"], "malicious": 0}))
    found = detect_run(copy, ["multi-krum", "fldetector"], window=2)
    assert [one.stored for one in found.results] == [one.stored for one in whole.results]
    assert found.malicious is None and found.results[0].grade is None
    assert whole.results[0].grade.recall == 1.0


def test_detected_clients_are_forgotten_with_the_chain_on_record(inside, attacked):
    assert inside("detect", "bad", "--detector", "multi-krum")[0] == 0
    code, out, err = inside(
        *("unlearn", "bad", "--detected", "--detector", "multi-krum", "--recovery-rounds", "1"),
        *("--no-reference", "--out", "forgotten"),
    )
    assert code in (0, 1), err
    assert "detected  by multi-krum: the scores form" in out
    assert "method    fedup: made for clients that attacked" in out
    record = json.loads((attacked / "forgotten" / "unlearning.json").read_text())
    (one,) = record["detections"]
    assert record["requests"] == [[f"client:{k}" for k in one["found"]["flagged"]]]
    assert len(one["since"]) == 3
    if code == 0:
        assert inside("report", "forgotten")[0] == 0
        page = (attacked / "forgotten-report" / "report.html").read_text()
        assert "Detector multi-krum, from 7 rounds: flagged" in page
        assert "attacked (recorded by the simulation)" in page


def test_nobody_flagged_forgets_nothing(inside, attacked):
    assert inside("detect", "clean", "--detector", "multi-krum")[0] == 0
    before = sorted(entry.name for entry in attacked.iterdir())
    code, out, err = inside("unlearn", "clean", "--detected")
    assert code == 0 and out == "detected  multi-krum flagged no client; nothing is forgotten\n"
    assert sorted(entry.name for entry in attacked.iterdir()) == before
    with pytest.raises(UserError, match="detected: no client was flagged"):
        unlearn("clean", unlearn_settings(forget=["detected"]))


def test_one_command_for_the_chain(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = typed(
        *("train", *SMALL, "--rounds", "5", "--attack", "sign-flip", "--out", "run"),
        *("--detect", "multi-krum", "--then", "unlearn"),
    )
    assert code in (0, 1) and "Traceback" not in err, err
    assert "flagged   " in out and "detected  by multi-krum" in out
    assert (tmp_path / "run-fedup" / "unlearning.json").exists()


def test_bad_requests(inside, attacked, tmp_path):
    assert inside("detect", "bad", "--detector", "all", "--window", "2")[0] == 0
    for words, message in (
        (("detect", "bad"), "fldetector needs 21 kept rounds that follow each other; bad keeps 7"),
        (("detect", "bad", "--detector", "nobody"), "detector: unknown name 'nobody'"),
        (
            ("detect", "bad", "--detector", "err"),
            "err needs examples of the server .train --validation",
        ),
        (("detect", "bad", "--detector", "foolsgold", "--kappa", "0"), "kappa: must be a number"),
        (("unlearn", "bad", "--detected"), "flag different clients; choose one with --detector"),
        (("unlearn", "bad", "--detected", "--detector", "nobody"), "no findings are stored with"),
        (("unlearn", "bad", "--detector", "krum"), "detector: .*without --detected"),
        (("train", "--then", "report"), "then: .*without --detect"),
        (("train", "--detect", "err", "--rounds", "2"), "validation_examples: .*with --detect err"),
        (
            ("train", "--detect", "krum", "--history", "last"),
            "history: must be all with --detect k",
        ),
        (("train", "--detect", "krum", "--clients", "2"), "clients: must be at least 3 with --det"),
        (("train", "--detect", "fldetector", "--rounds", "5"), "at least 21 with --detect fldetec"),
    ):
        code, out, err = inside(*words)
        import re

        assert code == 2 and err.count("\n") == 1 and re.search(message, err), (words, err)


def test_findings_of_an_earlier_state_are_not_used(attacked, tmp_path, monkeypatch, typed):
    shutil.copytree(attacked / "bad", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert typed("detect", "run", "--detector", "multi-krum")[0] == 0
    path = tmp_path / "run" / "detections.json"
    content = json.loads(path.read_text())
    content.pop("sha256")
    for one in content["detections"]:
        one["checkpoint_sha256"] = "0" * 64
    path.write_text(json.dumps({**content, "sha256": digest_of(content)}))
    code, _, err = typed("unlearn", "run", "--detected", "--detector", "multi-krum")
    assert code == 2 and "the findings are of an earlier state of run; run tfunlearn det" in err
    code, _, err = typed("unlearn", "rum", "--detected")
    assert code == 2 and "run: 'rum' is no run directory" in err


def test_all_flagged_and_damaged_findings(attacked, tmp_path, monkeypatch, typed):
    shutil.copytree(attacked / "bad", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert typed("detect", "run", "--detector", "krum")[0] == 0
    path = tmp_path / "run" / "detections.json"
    content = json.loads(path.read_text())
    content.pop("sha256")
    content["detections"] = [one for one in content["detections"][-1:]]
    content["detections"][0]["found"]["flagged"] = list(range(9))
    path.write_text(json.dumps({**content, "sha256": digest_of(content)}))
    code, _, err = typed("unlearn", "run", "--detected")
    assert code == 2 and "krum flagged all 9 clients; at least one must remain" in err
    path.write_text(path.read_text().replace("krum", "kram"))
    code, _, err = typed("unlearn", "run", "--detected")
    assert code == 2 and "is damaged (its checksum is another); remove it and run" in err


def test_a_detector_of_ones_own(attacked, tmp_path, monkeypatch, typed):
    shutil.copytree(attacked / "bad", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    code, out, err = typed("detect", "run", "--detector", "mine.py:LOUD")
    assert code == 0 and "flagged   " in out, err
    words = ("unlearn", "run", "--detected", "--detector", "mine.py:LOUD", "--no-reference")
    code, out, err = typed(*words, "--recovery-rounds", "1")
    assert code in (0, 1) and "detected  by" in out, err
    assert typed("check", "mine.py:LOUD")[0] == 0


OWN = """
import numpy as np
from tfunlearn.detection import Detector


class Loudest:
    def __init__(self):
        self.norms = {}

    def add(self, seen):
        for client, update in zip(seen.ids.tolist(), seen.updates):
            self.norms[client] = float(np.linalg.norm(update.astype(float)))

    def decide(self):
        found = self.norms
        same = max(found.values()) - min(found.values()) < 1e-6
        return found, [] if same else [max(found, key=found.get)], {}


LOUD = Detector(name="loud", summary="the longest last update", begin=lambda own, server: Loudest())
"""
