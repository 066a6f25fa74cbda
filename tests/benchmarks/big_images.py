"""Memory of training and unlearning on an array of images that does not fit into memory. Linux only.

Run: .venv/bin/python tests/benchmarks/big_images.py [--gigabytes 6] [--clients 200] [--engine tensorflow]

Writes a folder of .npy files with random images 64x64x3 in the temporary folder, then trains a small net for one
round with each client's images as a few batches, with malicious clients that stamp a trigger, and unlearns one
client. Printed is the most private memory (RssAnon) of the command and its workers, sampled ten times a second:
pages of mapped files are the kernel's to drop and do not count. Beside it stands the same with a hundredth of the
images, which is what TensorFlow, the program and the net need.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from timing import with_descendants

SIDE, CLASSES = 64, 10
MODEL = """
import tensorflow as tf


def net(input_shape, classes, *, seed):
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(seed % 2**31)
    return tf.keras.Sequential(
        [
            layers.Input(input_shape),
            layers.AveragePooling2D(8),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(classes),
        ]
    )
"""


def write_images(folder: pathlib.Path, count: int) -> None:
    """Write `count` training images, without holding them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(
        folder / "x_train.npy", "w+", np.uint8, (count, SIDE, SIDE, 3)
    )
    for first in range(0, count, 10_000):
        part = images[first : first + 10_000]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    images.flush()
    labels = np.arange(count) % CLASSES
    np.save(folder / "y_train.npy", labels)
    np.save(folder / "x_test.npy", rng.integers(0, 256, (1000, SIDE, SIDE, 3), np.uint8))
    np.save(folder / "y_test.npy", np.arange(1000) % CLASSES)


def private_bytes(process: int) -> int:
    """Return the private memory of a process and its descendants."""
    total = 0
    for number in with_descendants(process):
        try:
            with open(f"/proc/{number}/status") as status:
                words = next(line for line in status if line.startswith("RssAnon"))
            total += int(words.split()[1]) * 1024
        except (OSError, StopIteration):
            continue
    return total


def run(words: list[str], folder: pathlib.Path) -> tuple[int, float]:
    """Return the most private memory of a command, and its wall time."""
    highest, begin = [0], time.perf_counter()
    started = subprocess.Popen(
        [sys.executable, "-c", "from tfunlearn_cli.main import run; run()", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )

    def watch() -> None:
        while started.poll() is None:
            highest[0] = max(highest[0], private_bytes(started.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = started.wait()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(words)}: exit code {code}")
    return highest[0], time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=6)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--engine", default="tensorflow")
    asked = parser.parse_args()
    whole = int(asked.gigabytes * 1e9 / (SIDE * SIDE * 3))
    for count in (whole // 100, whole):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_images(folder / "images", count)
            (folder / "net.py").write_text(MODEL)
            common = ["--engine", asked.engine]
            train = ["train", "--dataset", "./images", "--model", "net.py:net", "--rounds", "1"]
            train += ["--clients", str(asked.clients), "--local-epochs", "1", "--out", "run"]
            train += ["--batch-size", "512", "--attack", "backdoor", "--malicious", "2", *common]
            forget = ["unlearn", "run", "--client", "3", "--method", "finetune", *common]
            forget += ["--recovery-rounds", "1", "--no-reference"]
            for words in (train, forget):
                most, seconds = run(words, folder)
                print(
                    f"{words[0]:<8} {count:>8,} images, {count * SIDE * SIDE * 3 / 1e9:.2f} GB: "
                    f"{most / 1e6:,.0f} MB private, {seconds:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
