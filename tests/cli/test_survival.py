"""Runs killed at random moments and resumed: bit-for-bit equal to uninterrupted runs."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest

from tfunlearn.core.files import checksum

TRAIN = [
    "train",
    "--train-examples",
    "150",
    "--clients",
    "4",
    "--rounds",
    "8",
    "--attack",
    "label-flip",
    "--malicious",
    "1",
    "--history",
    "last",
    "--out",
    "run",
]
UNLEARN = ["unlearn", "run", "--method", "memorization", "--recovery-rounds", "4"]
GRID = """
[fixed]
train_examples = 150
clients = 4
malicious = 1
attack = "label-flip"
rounds = 4
recovery_rounds = 3
[grid]
method = ["finetune", "not"]
"""


def killed(commands, rng, kills, cwd, begin, resume, seconds):
    """Start a command, kill and resume it at random moments `kills` times, then let it finish."""
    words = begin
    while True:
        process = commands.start(*words, cwd=cwd)
        if kills:
            time.sleep(rng.uniform(0.0, seconds))
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err and process.returncode in (0, 2, -signal.SIGKILL), err
        words = resume
        if process.returncode == 2:  # killed before anything could be resumed
            assert "begun" in err and words != begin, err
            words = begin
        elif process.returncode == 0 and not kills:
            return
        else:
            kills = max(0, kills - 1)


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory):
    """A folder with an uninterrupted training, unlearning and sweep, and the seconds each took."""
    folder, seconds = tmp_path_factory.mktemp("whole"), []
    (folder / "grid.toml").write_text(GRID)
    for words in (TRAIN, UNLEARN, ["sweep", "grid.toml", "--out", "swept"]):
        started = time.monotonic()
        done = commands.run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
        seconds.append(time.monotonic() - started)
    return folder, seconds


def lines_of(run):
    """Return the metrics of a run without times."""
    return [
        {name: value for name, value in json.loads(line).items() if "seconds" not in name}
        for line in (run / "metrics.jsonl").read_text().splitlines()
    ]


def test_training_killed_at_random_moments(commands, whole, tmp_path):
    folder, (seconds, _, _) = whole
    killed(commands, np.random.default_rng(1), 3, tmp_path, TRAIN, ["resume", "run"], seconds)
    assert checksum(tmp_path / "run" / "checkpoint.npz") == checksum(
        folder / "run" / "checkpoint.npz"
    )
    assert lines_of(tmp_path / "run") == lines_of(folder / "run")
    assert [p.name for p in (tmp_path / "run" / "history").iterdir()] == ["round_00008.npz"]


def test_unlearning_killed_at_random_moments(commands, whole, tmp_path):
    folder, (_, seconds, _) = whole
    (tmp_path / "run").mkdir()
    for file in (folder / "run").rglob("*"):
        target = tmp_path / "run" / file.relative_to(folder / "run")
        target.mkdir() if file.is_dir() else target.write_bytes(file.read_bytes())
    killed(
        commands,
        np.random.default_rng(2),
        3,
        tmp_path,
        UNLEARN,
        ["resume", "run-memorization"],
        seconds,
    )
    notes = [
        json.loads((place / "run-memorization" / "unlearning.json").read_text())
        for place in (folder, tmp_path)
    ]
    for name in ("run-memorization", "run-retrain"):
        assert checksum(tmp_path / name / "checkpoint.npz") == checksum(
            folder / name / "checkpoint.npz"
        )
        assert lines_of(tmp_path / name) == lines_of(folder / name)
    for name in ("report", "measured", "recovered", "rounds"):
        assert notes[0][name] == notes[1][name], name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run-memorization", "run-retrain"]


def test_a_sweep_killed_at_random_moments(commands, whole, tmp_path):
    folder, (_, _, seconds) = whole
    (tmp_path / "grid.toml").write_text(GRID)
    killed(
        commands,
        np.random.default_rng(3),
        3,
        tmp_path,
        ["sweep", "grid.toml", "--out", "swept"],
        ["resume", "swept"],
        seconds,
    )
    results = [
        {
            path.name: json.loads(path.read_text())
            for path in (place / "swept" / "results").iterdir()
        }
        for place in (folder, tmp_path)
    ]
    assert len(results[0]) == 2 and results[0].keys() == results[1].keys()
    for name, result in results[0].items():
        assert result["checkpoint_sha256"] == results[1][name]["checkpoint_sha256"]
    assert (tmp_path / "swept" / "cells.csv").is_file()
