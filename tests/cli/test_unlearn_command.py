"""`tfunlearn unlearn` on the command line, and user errors in one line."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import signal
import time

import pytest
from forkserver import read_terminal

from tfunlearn.core.files import checksum
from tfunlearn.experiment import run_config, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with `run`, which kept its last round, and `bare`, without attack and history."""
    folder = tmp_path_factory.mktemp("unlearn")
    small = dict(train_examples=240, clients=6, rounds=3, lr=3e-3)
    train(run_config(attack="label-flip", malicious=2, **small), out=folder / "run")
    train(run_config(**small), out=folder / "bare")
    return folder


def sums(folder):
    return {str(path): checksum(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def call(monkeypatch, trained, typed):
    monkeypatch.chdir(trained)
    return functools.partial(typed, "unlearn")


def test_without_flags_it_forgets_the_attackers_and_compares(commands, trained):
    before = sums(trained / "run")
    done = commands.run("unlearn", "run", cwd=trained)
    assert done.returncode == 0 and done.stderr == "" and "\x1b" not in done.stdout
    assert sums(trained / "run") == before
    notes = json.loads((trained / "run-fedup" / "unlearning.json").read_text())
    assert f"forget    clients {', '.join(map(str, notes['forgotten']['clients']))}: 80" in (
        done.stdout
    )
    assert f"fraction {notes['report']['fraction']:.4f} (auto: P = 0.14 z^5 + 0.01" in done.stdout
    assert "before  after   retrained" in done.stdout
    for name in ("before", "after", "retrained"):
        assert f"{notes['measured'][name]['forget_accuracy']:.4f}" in done.stdout
    assert "stored on the server" in done.stdout and "retrained " in done.stdout
    shown = commands.run("evaluate", "run-fedup", cwd=trained)
    assert shown.returncode == 0 and (
        f"test accuracy   {notes['measured']['after']['test_accuracy']:.4f}" in shown.stdout
    )
    assert f"run-fedup: fedup, {notes['rounds']} rounds after 3" in shown.stdout


def test_requests_of_every_kind(call, trained):
    quick = ("--method", "finetune", "--recovery-rounds", "1", "--no-reference")
    (trained / "list.txt").write_text("1:0\n1:3\n")
    for number, (flags, words) in enumerate(
        [
            (["--client", 3, "--client", 1], ["client:1", "client:3"]),
            (["--class", 1], ["class:1"]),
            (["--examples", "2:5,0:1"], ["example:0:1", "example:2:5"]),
            (
                ["--examples", "list.txt", "--client", "5"],
                ["client:5", "example:1:0", "example:1:3"],
            ),
        ]
    ):
        code, out, err = call("run", *quick, *flags, "--out", f"kind-{number}")
        assert code == 0 and err == "", err
        notes = json.loads((trained / f"kind-{number}" / "unlearning.json").read_text())
        assert notes["requests"] == [words]
    code, out, _ = call("run", *quick, "--class", 2)
    assert code == 0 and "forget    class:2: " in out
    code, out, _ = call("run", *quick, "--class", 2)
    assert (
        code == 0
        and "found     run-finetune, an earlier unlearning with these settings; finetune of class:2"
        in out
    )


def test_settings_from_a_file(call, trained):
    (trained / "not.toml").write_text('method = "not"\nrecovery_rounds = 3\nreference = false\n')
    code, out, err = call("run", "--config", "not.toml", "--recovery-rounds", 1)
    assert code == 0 and "recovery  1 round with stop rule target" in out


def test_the_request_decides_the_method_and_the_first_lines_say_why(call, trained):
    code, out, err = call("bare", "--client", 0, "--recovery-rounds", 0, "--no-reference")
    assert code == 0 and err == ""
    assert "method    memorization: client 0 did not attack; fedup was made for attackers" in out
    code, out, _ = call("run", "--class", 4, "--recovery-rounds", 1, "--no-reference")
    assert code == 0 and "method    ablation-channel: made for classes" in out
    honest = next(
        k
        for k in range(6)
        if k
        not in json.loads((trained / "run-fedup" / "unlearning.json").read_text())["forgotten"][
            "clients"
        ]
    )
    code, out, _ = call(
        "run",
        "--client",
        honest,
        "--method",
        "fedup",
        "--recovery-rounds",
        0,
        "--no-reference",
        "--out",
        "named",
    )
    assert (
        code == 0 and f"warning: fedup was made for attackers, and client {honest} did not" in out
    )


def test_a_ruin_ends_with_code_1_and_two_ways_out(call, trained):
    words = (
        "run",
        "--client",
        1,
        "--method",
        "memorization",
        "--ratio",
        1,
        "--reset-rule",
        "zeros",
        "--stop",
        "rounds",
        "--recovery-rounds",
        6,
        "--out",
        "ruin",
    )
    for _ in range(2):  # first made, then reused
        code, out, err = call(*words)
        assert code == 1 and err.count("\n") == 1 and err.startswith("tfunlearn: failed: memori")
        assert "try --ratio 0.5, or --method retrain" in err and "ruin)" in err
    assert "warning: no signal passes conv_1" in out and (trained / "ruin" / "model.keras").exists()
    for command in (["verify", "ruin"], ["unlearn", "ruin", "--class", "1"]):
        code, _, err = call.func(*command)
        assert code == 2 and "is no unlearned run: memorization has ruined the model" in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Missing argument 'RUN'"),
        (["nowhere"], "'nowhere' is no run directory"),
        (["bare"], "forget: .*got 'malicious'"),
        (
            ["bare", "--client", 0, "--method", "fedup"],
            "fedup needs a round with flagged clients and more benign ones; this "
            "run has kept no round; train with --history last",
        ),
        (
            ["run", "--method", "fedrecovery"],
            "every round, 1 to 3; this run has kept round 3; train with --history all",
        ),
        (["run", "--method", "federaser"], r"train with --history every=2 \(or all\)"),
        (["run", "--method", "fedupp"], "did you mean 'fedup'"),
        (["run", "--client", 6], "client: .*0 to 5; got 6"),
        (["run", "--client", -1], "client: .*0 to 5; got -1"),
        (["run", "--client", "x"], "client: .*0 to 5; got x"),
        (["run", "--class", 10], "class: .*0 to 9; got 10"),
        (
            ["run", "--examples", "1:99"],
            "examples: .*0 to 39 .*got '1:99'",
        ),
        (["run", "--examples", "1:x"], "must be client:index pairs"),
        (["run", "--examples", ""], "client:index,... or a file"),
        (
            ["run", *[f for k in range(6) for f in ("--client", k)]],
            "at least one example must remain",
        ),
        (
            ["run", "--method", "fedup", *[f for k in range(3) for f in ("--client", k)]],
            "3 of 6 clients",
        ),
        (
            ["run", "--method", "cdp", "--client", 0],
            "classes only, with cdp; this request is taken by ablation-channel",
        ),
        (
            ["run", "--method", "finetune", "--recovery-rounds", 0],
            "recovery_rounds: .*got 0",
        ),
        (["run", "--fraction", "1.2"], "fraction: .*got 1.2"),
        (["run", "--fraction", "x"], "fraction: .*got 'x'"),
        (["run", "--stop", "soon"], "stop: unknown name 'soon'"),
        (["run", "--mask", "randm"], "did you mean 'random'"),
        (
            ["run", "--method", "not", "--fraction", "0.1"],
            "--fraction: not allowed with --method not; it is for exclude, fedup",
        ),
        (["run", "--config", "none.toml"], "cannot be read"),
        (["run", "--out", "bare"], "a new or empty folder"),
        (["run", "--out", ""], "the name of a folder"),
        (["run", "--data-dir", "x", "--methd", "y"], "--method"),
    ],
)
def test_one_line_and_code_2(call, trained, arguments, message):
    before = sums(trained)
    code, out, err = call(*arguments)
    assert code == 2 and re.search(message, err) and err.count("\n") == 1, err
    assert sums(trained) == before


def test_an_interrupted_command_is_gone_on_with(commands, trained):
    process = commands.start(
        "unlearn",
        "run",
        "--method",
        "not",
        "--recovery-rounds",
        "500",
        "--out",
        "stopped",
        cwd=trained,
    )
    for line in process.stdout:
        if line.startswith("recover   round   2"):
            break
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and time.monotonic() - started < 10
    assert "continues from the last finished round" in out and err == ("tfunlearn: interrupted\n")
    assert not (trained / "stopped").exists()
    (begun,) = [path for path in trained.iterdir() if path.name.startswith(".stopped")]
    finished = len((begun / "metrics.jsonl").read_text().splitlines())
    process = commands.start("resume", "stopped", cwd=trained)
    for line in process.stdout:
        if line.startswith("resume"):
            break
    assert line == f"resume    after {finished} rounds\n" and finished >= 2
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_a_signal_that_was_lost_in_a_callback_still_ends_it(call, monkeypatch):
    from tfunlearn_cli import signals

    monkeypatch.setattr(signals, "received", [signal.SIGTERM])
    with pytest.raises(SystemExit) as ended:
        signals.check()
    assert ended.value.code == 143
    code, _, _ = call("run", "--method", "finetune", "--recovery-rounds", "2", "--out", "lost")
    assert code == 143


def test_on_a_terminal_there_is_a_bar_and_a_table(commands, trained):
    parent, child = pty.openpty()
    process = commands.start(
        "unlearn",
        "run",
        "--method",
        "finetune",
        "--recovery-rounds",
        "3",
        "--out",
        "shown",
        cwd=trained,
        terminal=child,
        TERM="xterm",
        COLUMNS="120",
    )
    os.close(child)
    shown = read_terminal(parent)
    assert process.wait(timeout=60) == 0
    assert b"recovery" in shown and b"3/3" in shown and b"retrained" in shown
