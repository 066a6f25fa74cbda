"""Compatibility with runs of an earlier build, which stored the flat fields of all methods."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest

from tfunlearn.config.fingerprint import content_of
from tfunlearn.core.files import digest_of, read_arrays
from tfunlearn.experiment.unlearning import resume_unlearning, unlearn, unlearn_settings
from tfunlearn.runs.loading import stored_config
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.sweeps.sweep import read_sweep
from tfunlearn.training.resume import resume_training
from tfunlearn.workflows.evaluate.evaluate import evaluate
from tfunlearn.workflows.report import report

EARLIER = pathlib.Path(__file__).resolve().parent.parent / "earlier_runs"
BEGUN = ".begun.110034af0515"  # the earlier build's folder name for that request


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A copy of the runs, with their paths set to the copy."""
    shutil.copytree(EARLIER, tmp_path / "runs")
    root = tmp_path / "runs"
    (root / "begun").rename(root / BEGUN)
    for file in root.rglob("*.json"):
        text = file.read_text()
        if "/earlier" in text:
            content = json.loads(text.replace("/earlier", str(root)))
            if file.name == "unlearning.json":
                content.pop("sha256")
                content["sha256"] = digest_of(content)
            file.write_text(json.dumps(content, indent=2) + "\n")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize("name", ["flip", "fang", "noise", "half", "forgot", BEGUN])
def test_the_fingerprint_stays(earlier, name):
    directory = RunDirectory(earlier / name)
    stored = json.loads(directory.config.read_text())
    config = stored_config(directory)
    assert digest_of(content_of(config)) == stored["content_sha256"]
    flat = config.flat()
    for field in ("attack", "rule", "before", "defense", "malicious", "lr", "rounds", "seed"):
        assert flat[field] == stored[field], field


def test_settings_reach_the_methods(earlier):
    fang = stored_config(RunDirectory(earlier / "fang"))
    (data, trigger), (update, _) = fang.attack.on_data, fang.update_attack
    assert (data.name, trigger.trigger_size) == ("backdoor", 2)
    assert (update.name, fang.attack.on_updates[1].knowledge) == ("fang-krum", "full")
    assert (fang.aggregator.own.selected, fang.aggregator.before) == (2, ("bucketing",))
    assert fang.defense.rejection[1].reject == 1
    noise = stored_config(RunDirectory(earlier / "noise"))
    assert (noise.aggregator.own.clip, noise.aggregator.own.noise) == (1.0, 0.001)
    assert dict(noise.kept) == {"trigger_value": 0.5}  # setting of a method that was not chosen


def test_a_finished_run_is_evaluated_as_then(earlier):
    for name in ("flip", "fang", "noise"):
        last = RunDirectory(earlier / name).read_metrics()[-1]
        assert evaluate(earlier / name).measured["test_accuracy"] == last["test_accuracy"]


def ends_as(directory, file):
    """Assert that the last checkpoint equals the earlier build's, up to floating-point rounding."""
    state, then = directory.read_state(), read_arrays(file)
    assert state.finished == int(then["finished"])
    for number, weight in enumerate(state.weights):
        np.testing.assert_allclose(weight, then[f"weight_{number:04d}"], atol=1e-4)


def test_a_training_is_resumed(earlier):
    rounds = []
    run = resume_training(earlier / "half", on_round=lambda line: rounds.append(line["round"]))
    assert rounds == [3, 4]
    ends_as(run.directory, earlier / "half_end.npz")


def test_an_unlearning_is_resumed(earlier):
    run = resume_unlearning(earlier / "begun")
    assert run.directory.path == earlier / "begun" and len(run.metrics) == 4
    assert run.notes["settings"]["ratio"] == 0.3
    ends_as(run.directory, earlier / "begun_end.npz")


def test_a_finished_unlearning_is_found_and_told(earlier):
    settings = unlearn_settings(method="memorization", ratio=0.2, recovery_rounds=2)
    found = unlearn(earlier / "flip", settings)
    assert not found.new and found.directory.path == earlier / "forgot"
    page = (report([earlier / "forgot"], out=earlier / "page") / "report.html").read_text()
    assert "ratio 0.2, saliency abs_mean_delta" in page


def test_the_cells_of_a_sweep_are_found(earlier):
    grid, overrides = read_sweep(earlier / "swept")
    keys = {cell.key for cell in grid.cells(**overrides)}
    assert keys == {path.stem for path in (earlier / "swept" / "results").iterdir()}
