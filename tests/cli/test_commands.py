"""The commands as used in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
from forkserver import Forked, read_terminal, worker_of

from tfunlearn.engines import tff_is_usable
from tfunlearn.workflows.evaluate.evaluate import evaluate

SMALL = ["--train-examples", "200", "--clients", "4", "--malicious", "1"]


needs_tff = pytest.mark.skipif(not tff_is_usable(), reason="only the tff engine has workers")


def is_gone(process: int | None) -> bool:
    """Wait up to 5 s for a process to exit (an unreaped zombie has exited), if there was one."""
    if process is None:
        return True
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if ") Z " in pathlib.Path(f"/proc/{process}/stat").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def run_until_round(commands, number: int, cwd) -> tuple[Forked, int | None]:
    """Start a long run; return it and its worker, if any, once it has printed round `number`."""
    process = commands.start("train", "--rounds", "1000", *SMALL, "--out", "run", cwd=cwd)
    for line in process.stdout:
        if line.startswith(f"round    {number}"):
            return process, worker_of(process.pid) if tff_is_usable() else None
    raise AssertionError(process.stderr.read())


def test_train_evaluate_and_config_from_a_file(commands, tmp_path):
    (tmp_path / "run.toml").write_text('rounds = 5\nattack = "label-flip"\nclients = 4\n')
    done = commands.run(
        "train", "--config", "run.toml", "--rounds", "2", *SMALL, "--defense", "flap", cwd=tmp_path
    )
    assert done.returncode == 0 and done.stderr == ""
    run = tmp_path / "runs" / "digits-lenet5-label-flip-flap-seed0"
    lines = done.stdout.splitlines()
    assert sum(line.startswith("round ") for line in lines) == 2
    assert "\x1b" not in done.stdout
    assert lines[-1] == f"next      tfunlearn evaluate {run.relative_to(tmp_path)}"
    config = json.loads((run / "config.json").read_text())
    assert config["rounds"] == 2 and config["attack"] == ["label-flip"] and config["malicious"] == 1
    again = commands.run(
        "train", "--config", str(run / "config.json"), "--out", "again", cwd=tmp_path
    )
    assert again.returncode == 0
    sums = [
        [json.loads(line)["checkpoint_sha256"] for line in (folder / "metrics.jsonl").open()]
        for folder in (run, tmp_path / "again")
    ]
    assert sums[0] == sums[1]
    shown = commands.run("evaluate", str(run), cwd=tmp_path)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert shown.returncode == 0 and shown.stderr == ""
    assert f"test accuracy   {last['test_accuracy']:.4f}" in shown.stdout


def test_data_and_models(commands, tmp_path):
    shown = commands.run("data", "--show", "--partition", "classes", cwd=tmp_path)
    assert shown.returncode == 0 and shown.stderr == ""
    rows = [line.split() for line in shown.stdout.splitlines()[1:11]]
    assert all(row[1] == max(row[2:], key=int) and row[2:].count("0") == 9 for row in rows)
    picture = tmp_path / "partition-digits-classes.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    listed = commands.run("data", cwd=tmp_path)
    assert "femnist-digits" in listed.stdout and listed.returncode == 0
    models = commands.run("models", cwd=tmp_path)
    assert "44,426" in models.stdout and models.stderr == "" and models.returncode == 0


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_signals_end_it_and_keep_the_last_round(commands, tmp_path, number, code):
    process, worker = run_until_round(commands, 3, tmp_path)
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code and time.monotonic() - started < 10
    assert is_gone(worker) and "Traceback" not in err
    assert 3 <= evaluate(tmp_path / "run").rounds < 1000
    if number != signal.SIGKILL:
        assert "stopped   after round" in out


def test_a_closed_pipe_ends_it(commands, tmp_path):
    process, worker = run_until_round(commands, 2, tmp_path)
    process.stdout.close()  # as head does after its last line
    assert process.wait(timeout=30) == 141 and process.stderr.read() == ""
    process.stderr.close()
    assert is_gone(worker) and evaluate(tmp_path / "run").rounds >= 2


@needs_tff
def test_a_worker_that_dies_ends_the_run_and_names_the_cause(commands, tmp_path):
    process, worker = run_until_round(commands, 2, tmp_path)
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == "tfunlearn: the TFF worker process died or does not answer\n"
    assert evaluate(tmp_path / "run").rounds >= 2


@needs_tff
def test_an_exception_in_a_round_leaves_no_worker(tmp_path):
    code = (
        "import os, tfunlearn_cli.main as m\n"
        "from tfunlearn.training.measures import TestMeasures\n"
        "from forkserver import worker_of\n"
        "def fail(*_): print('worker', worker_of(os.getpid())); 1 / 0\n"
        "TestMeasures.__call__ = fail\nm.run()\n"
    )
    path = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *SMALL, "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        env=path,
    )
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert is_gone(int(re.search(r"worker (\d+)", done.stdout).group(1)))


def test_a_terminal_gets_a_bar_and_a_live_table(commands, tmp_path):
    leader, follower = pty.openpty()
    process = commands.start(
        "train",
        "--rounds",
        "3",
        *SMALL,
        "--out",
        "run",
        cwd=tmp_path,
        terminal=follower,
        TERM="xterm",
        COLUMNS="120",
        LINES="40",
    )
    os.close(follower)
    text = read_terminal(leader).decode(errors="replace")
    assert process.wait(timeout=60) == 0
    assert "3/3" in text and "attack success" in text and "\x1b[" in text
    assert "next      tfunlearn evaluate run" in text


def test_check_aggregator_of_ours_and_of_others(commands, tmp_path):
    done = commands.run("check-aggregator", "multi-krum", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "" and "FAILED" not in done.stdout
    assert "same bits in TFF" in done.stdout and "every property holds" in done.stdout
    (tmp_path / "mine.py").write_text(
        "def halved(updates, f):\n    return updates.mean(axis=0) / 2\n"
    )
    done = commands.run("check-aggregator", "mine:halved", "--like", "mean", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    rows = {line[:22].strip(): line[22:].split()[0] for line in done.stdout.splitlines()[2:-1]}
    assert rows["translation"] == rows["definition"] == "FAILED" and rows["scale"] == "ok"


def test_sweep_is_interrupted_and_continued(commands, tmp_path):
    (tmp_path / "grid.toml").write_text(
        "[fixed]\ntrain_examples = 150\nclients = 5\nmalicious = 1\nrounds = 2\nbyzantine = 1\n"
        "[grid]\nrule = ['mean', 'median']\nattack = ['none', 'sign-flip']\n"
    )
    process = commands.start("sweep", "grid.toml", cwd=tmp_path)
    for line in process.stdout:
        if line.startswith("cell 2/4"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "the same command continues" in out
    assert err == "tfunlearn: interrupted\n"
    done = commands.run("sweep", "grid.toml", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "" and "\x1b" not in done.stdout
    cells = [line for line in done.stdout.splitlines() if line.startswith("cell ")]
    assert len(cells) == 4 and [c.endswith("finished earlier") for c in cells[:2]] == [True] * 2
    assert "grid: attack success" in done.stdout
    assert (tmp_path / "runs" / "sweep-grid" / "attack_success.png").is_file()
