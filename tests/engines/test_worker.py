"""TFF's worker process, started many times in one program."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, time
import tfunlearn
import numpy as np
from tfunlearn.core.lazy import tff
from tfunlearn.engines.tff import local_worker

@tff.tensorflow.computation(np.int32)
def increment(number):
    return number + 1

counts = []
for number in range(8):
    with local_worker():
        assert increment(number) == number + 1
    time.sleep(0.3)  # threads that forward bytes end by themselves
    counts.append(len(os.listdir("/proc/self/fd")))
print(json.dumps(counts))
"""


pytest.importorskip("tensorflow_federated")


@pytest.fixture(scope="module")
def done():
    """A process that runs eight workers, one after another."""
    environment = {**os.environ, "GRPC_VERBOSITY": "INFO"}
    environment.pop("GRPC_ENABLE_FORK_SUPPORT", None)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def test_workers_one_after_another_are_forked_without_grpcs_handlers(done):
    """Its handlers, run in the child while other threads are inside gRPC, can abort the child."""
    assert done.returncode == 0, done.stderr
    assert "fork" not in done.stderr


def test_a_worker_gives_every_file_and_socket_back(done):
    counts = json.loads(done.stdout)
    assert counts[-1] <= counts[1] + 24, counts  # of 64 sockets each
