"""Cost per client and memory of rounds of many small clients. Linux only.

Run: .venv/bin/python tests/benchmarks/many_clients.py [--engine tff|tensorflow] [--most 10000]

The mean is taken inside TFF (engine tff only) or streamed, or all updates are gathered. Every client trains LeNet-5
on 4 images 28x28x1 for one epoch, as one batch. Times are multiples of those for 1,000 clients; memory is the most
that this program and its workers hold beyond what they held before the round, sampled twenty times a second, as a
multiple of the stack of all updates. Each line is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time

import numpy as np
from timing import processor, with_descendants

WAYS = ("inside", "streamed", "gathered")


def one_round(engine_name: str, way: str, clients: int) -> tuple[float, int, int]:
    """Return the seconds of a round, the bytes beyond the start, and the bytes of the stack."""
    from tfunlearn.core import compute

    compute.prepare()
    from tfunlearn.core.clients import ClientSet
    from tfunlearn.engines import choose_engine
    from tfunlearn.federated import AveragingRounds, GatheringRounds, averaging
    from tfunlearn.local_training.client_work import ClientTraining, ClientWork
    from tfunlearn.local_training.cohort import Cohort
    from tfunlearn.local_training.state import ServerState
    from tfunlearn.models import build_model

    averaging.INSIDE_BYTES = 0 if way == "streamed" else 2**60
    rng, engine = np.random.default_rng(0), choose_engine(engine_name)
    images = rng.integers(0, 256, (4 * clients, 28, 28, 1), np.uint8)
    labels = rng.integers(0, 10, 4 * clients).astype(np.int32)
    held = ClientSet(images, labels, np.arange(clients + 1) * 4)
    model = build_model("lenet5", (28, 28, 1), 10)
    work = ClientWork(model, ClientTraining(local_epochs=1))
    weights = model.get_weights()

    def run(count: int):
        cohort = Cohort(1, np.arange(count), held, np.ones(count))
        if way == "gathered":
            return rounds.gather(weights, cohort)  # pyright: ignore[reportAttributeAccessIssue]
        return rounds(ServerState(weights), cohort)

    with engine.at_work():
        kind = GatheringRounds if way == "gathered" else AveragingRounds
        rounds = kind(work, engine=engine, seed=0)
        run(100)
        start, highest, ended = resident(), [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                highest[0] = max(highest[0], resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        kept = run(clients)
        seconds = time.perf_counter() - began
        ended.set()
        watcher.join()
        del kept
    return seconds, highest[0] - start, 4 * clients * work.trainable_size


def resident() -> int:
    """Return the bytes that this process and its descendants have in memory."""
    pages = sum(int(fields[21]) for fields in with_descendants(os.getpid()).values())
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", default="tensorflow")
    parser.add_argument("--most", type=int, default=10_000, help="clients of the largest round")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        way, clients = given.only.split(":")
        print("found", *one_round(given.engine, way, int(clients)))
        return
    print(f"{processor()}; engine {given.engine}")
    for way in WAYS if given.engine == "tff" else WAYS[1:]:
        base = None
        for clients in (1000, given.most if way == "streamed" else min(3000, given.most)):
            words = ["--engine", given.engine, "--only", f"{way}:{clients}"]
            done = subprocess.run(
                [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True
            )
            seconds, beyond, stack = (float(word) for word in done.stdout.split()[-3:])
            base = base or seconds / clients
            print(
                f"{way} {clients:6} clients: {seconds / clients / base:.2f}x the time a client, "
                f"memory {beyond / 2**20:.0f} MiB = {beyond / stack:.2f}x the stack",
                flush=True,
            )


if __name__ == "__main__":
    main()
