"""Time and memory of FLDetector on a kept history, beside reading the history once.

    .venv/bin/python tests/benchmarks/detection_speed.py [--clients 50] [--size 1700000] [--rounds 50]

Writes rounds * clients * size * 4 bytes into a temporary folder. Prints CPU seconds of reading and
of detection (which reads too), their ratio, and the largest memory beyond that of a process that
has read one round, in stacks.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import tempfile
import time

import numpy as np

from tfunlearn.core.files import checksum, read_arrays, write_arrays
from tfunlearn.detection import DETECTORS, ObservedRound, Server, Watch


def rounds_in(folder: pathlib.Path):
    """Yield the rounds, one after the other."""
    for number, path in enumerate(sorted(folder.glob("*.npz")), start=1):
        checksum(path)  # as the history of a run
        arrays = read_arrays(path)
        yield ObservedRound(number, arrays["model"], arrays["ids"], arrays["updates"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("clients", 50), ("size", 1_700_000), ("rounds", 50), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model = np.zeros(given.size, np.float32)
        for number in range(1, given.rounds + 1):
            updates = rng.standard_normal((given.clients, given.size), np.float32)
            arrays = dict(model=model, ids=np.arange(given.clients), updates=updates)
            write_arrays(folder / f"{number:05d}.npz", arrays)
            model = model + updates.mean(axis=0)
        del updates, arrays
        next(iter(rounds_in(folder)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ratios = []
        for _ in range(given.repeats):
            started = time.process_time()
            for _ in rounds_in(folder):
                pass
            reading, started = time.process_time() - started, time.process_time()
            watch = Watch(DETECTORS["fldetector"], None, Server())
            for seen in rounds_in(folder):
                watch.add(seen)
            watch.decide()
            detecting = time.process_time() - started
            ratios.append(detecting / reading)
            print(f"reading {reading:.1f} s, detection {detecting:.1f} s: {ratios[-1]:.2f}x")
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        stack = given.clients * given.size * 4
        print(f"{more / stack:.2f} stacks beyond the one that is read")


if __name__ == "__main__":
    main()
