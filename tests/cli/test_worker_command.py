"""Workers that share the clients of a round: bit-for-bit equal results, whichever worker dies."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import time

import pytest
from forkserver import worker_of

from tfunlearn.core.files import checksum

pytest.importorskip("tensorflow_federated")

TRAIN = [
    "train",
    "--train-examples",
    "200",
    "--clients",
    "8",
    "--rounds",
    "3",
    "--local-epochs",
    "60",
    "--gather",
]


@pytest.fixture
def worker(commands, tmp_path):
    """`(*options) -> process, address` of a worker on this machine."""
    started = []

    def start(*options):
        process = commands.start("worker", "--port", "0", *options, cwd=tmp_path)
        started.append(process)
        line = process.stdout.readline()
        return process, re.search(r"listens at (\S+);", line)[1]

    yield start
    for process in started:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


@pytest.fixture(scope="module")
def undisturbed(commands, tmp_path_factory):
    """The checksum of a run without workers."""
    folder = tmp_path_factory.mktemp("alone")
    done = commands.run(*TRAIN, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return checksum(folder / "run" / "checkpoint.npz")


def with_workers(*addresses):
    return [word for address in addresses for word in ("--worker", address)]


def until_round(process, number):
    for line in process.stdout:
        if line.startswith(f"round {number}"):
            return
    raise AssertionError(process.stderr.read())


def test_two_workers_share_a_round_and_one_may_die(commands, worker, undisturbed, tmp_path):
    (_, first), (second_process, second) = worker(), worker()
    done = commands.run(*TRAIN, "--out", "run", *with_workers(first, second), cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert checksum(tmp_path / "run" / "checkpoint.npz") == undisturbed
    process = commands.start(*TRAIN, "--out", "other", *with_workers(first, second), cwd=tmp_path)
    until_round(process, 1)
    time.sleep(0.4)  # in the middle of the next round
    second_process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and out.count("round ") >= 1
    assert err == (
        f"tfunlearn: warning: worker {second} died or does not answer; the others take "
        "over its clients\n"
    )
    assert checksum(tmp_path / "other" / "checkpoint.npz") == undisturbed


def test_without_a_worker_it_stops_and_resumes(commands, worker, undisturbed, tmp_path):
    only, address = worker()
    process = commands.start(*TRAIN, "--out", "run", *with_workers(address), cwd=tmp_path)
    until_round(process, 1)
    only.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and err.count("\n") == 2
    assert err.endswith(
        f"no worker is left of {address}; start them again, then tfunlearn resume "
        "continues after the last finished round\n"
    )
    _, address = worker()
    done = commands.run("resume", "run", *with_workers(address), cwd=tmp_path)
    assert done.returncode == 0 and "resume    after round" in done.stdout, done.stderr
    assert checksum(tmp_path / "run" / "checkpoint.npz") == undisturbed


def listening(port: int) -> set[str]:
    """Return the local addresses on which a port of this machine listens, from the kernel."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                found.add(local.rpartition(":")[0])
    return found


def test_a_worker_is_bound_to_loopback_and_leaves_nothing(worker):
    process, address = worker()
    port = int(address.rpartition(":")[2])
    assert listening(port) == {"0100007F"}  # 127.0.0.1
    program = worker_of(process.pid)
    assert os.readlink(f"/proc/{program}/ns/net") != os.readlink("/proc/self/ns/net")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 143 and err == "" and not listening(port)
    assert not pathlib.Path(f"/proc/{program}").exists()


def test_everybody_if_it_was_told_so(worker):
    process, address = worker("--host", "0.0.0.0")
    assert listening(int(address.rpartition(":")[2])) == {"00000000"}
    assert process.stdout.readline().startswith("warning: callers are not authenticated")


def test_wrong_addresses(commands, worker, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        deaf = f"127.0.0.1:{other.getsockname()[1]}"
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            nobody = f"127.0.0.1:{unused.getsockname()[1]}"
        for address, message in (
            (nobody, "nothing listens at"),
            (deaf, "is no TFF worker"),
            ("8000", "host:port"),
            ("http://a:1", "in brackets"),
            ("127.0.0.1:99999", "host:port"),
        ):
            done = commands.run(*TRAIN, "--out", "run", *with_workers(address), cwd=tmp_path)
            assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
            assert list(tmp_path.iterdir()) == []
        taken = commands.run("worker", "--port", deaf.rpartition(":")[2], cwd=tmp_path)
        assert taken.returncode == 2 and "cannot be listened at" in taken.stderr
