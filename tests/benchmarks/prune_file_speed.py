"""`tfunlearn prune` beside loading and saving the same file: processor time of whole processes.

    .venv/bin/python tests/benchmarks/prune_file_speed.py [--repeats 5]

Builds ResNet50, MobileNetV2 and EfficientNetB0 (64x64 inputs, weights at random) with the Keras at
hand, runs both programs in turn, and prints the medians and their ratio; the aim is 1.5.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

NETS = ("ResNet50", "MobileNetV2", "EfficientNetB0")
MAKE = """
import sys, tensorflow as tf
getattr(tf.keras.applications, sys.argv[1])(weights=None, input_shape=(64, 64, 3)).save(sys.argv[2])
"""
COPY = """
import sys, tensorflow as tf
tf.keras.models.load_model(sys.argv[1], compile=False).save(sys.argv[2])
"""
PRUNE = "from tfunlearn_cli.main import run; run()"


def processor_time(program: str, *arguments: str) -> float:
    """Returns the processor seconds of a process that runs a program to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        for net in NETS:
            path = pathlib.Path(folder) / f"{net}.keras"
            subprocess.run(
                [sys.executable, "-c", MAKE, net, path], check=True, stderr=subprocess.DEVNULL
            )
            times = {"copy": [], "prune": []}
            for _ in range(repeats):
                for name, call in (("copy", (COPY, path)), ("prune", (PRUNE, "prune", path, "-o"))):
                    out = pathlib.Path(folder) / "out.keras"
                    times[name].append(processor_time(*call, out))
                    out.unlink()
            copy, prune = (statistics.median(times[name]) for name in ("copy", "prune"))
            print(
                f"{net:<16} load and save {copy:6.2f} s   prune {prune:6.2f} s   ratio "
                f"{prune / copy:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
