"""TFF's worker process, started many times in one program."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import tfunlearn
import numpy as np
from tfunlearn.core.lazy import tff
from tfunlearn.workers import local_worker

@tff.tensorflow.computation(np.int32)
def increment(number):
    return number + 1

for number in range(8):
    with local_worker():
        assert increment(number) == number + 1
print("done")
"""


def test_workers_one_after_another_are_forked_without_grpcs_handlers():
    """gRPC's fork handlers can abort the child if other threads are inside gRPC."""
    environment = {**os.environ, "GRPC_VERBOSITY": "INFO"}
    environment.pop("GRPC_ENABLE_FORK_SUPPORT", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr
    assert "fork" not in done.stderr


COUNT = """
import os, time
import tfunlearn
from tfunlearn.core.lazy import tff
from tfunlearn.workers import local_worker

@tff.tensorflow.computation
def one():
    return 1

def held():
    return len(os.listdir("/proc/self/fd"))

counts = []
for number in range(4):
    with local_worker():
        assert one() == 1
    time.sleep(0.3)  # threads that pass bytes on end by themselves
    counts.append(held())
print(counts)
"""


def test_a_worker_gives_every_file_and_socket_back():
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, timeout=120
    )
    counts = json.loads(done.stdout)
    assert done.returncode == 0 and counts[-1] <= counts[1] + 10, counts  # of 64 sockets each
