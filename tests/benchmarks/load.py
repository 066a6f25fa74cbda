"""Large federations: seconds and memory of a round of 1,000 small clients, and of 80 large ones.

Run: .venv/bin/python tests/benchmarks/load.py [--data-dir DIR]

With --data-dir the clients hold 20 images of MNIST each, without it the embedded digits (one or two
images for each of 1,000 clients). Memory is the highest sum of what this program and TFF's worker
held at a time, sampled ten times a second. Every update is gathered; the median needs all at once.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

SETTINGS = {
    "1,000 clients x LeNet-5 (44,426 parameters)": (1000, ["--model", "lenet5"]),
    "80 clients x ResNet-18 (11.2 million parameters)": (
        80,
        ["--model", "resnet18", "--local-epochs", "1"],
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    asked = parser.parse_args()
    for title, (clients, words) in SETTINGS.items():
        data = (
            [
                "--dataset",
                "mnist",
                "--data-dir",
                asked.data_dir,
                "--train-examples",
                str(20 * clients),
            ]
            if asked.data_dir
            else []
        )
        for rule in ("mean", "median"):
            with tempfile.TemporaryDirectory() as folder:
                seconds, peak = measured(
                    [
                        "train",
                        "--clients",
                        str(clients),
                        "--rounds",
                        "2",
                        "--rule",
                        rule,
                        "--gather",
                        "--byzantine",
                        "1",
                        *words,
                        *data,
                        "--out",
                        f"{folder}/run",
                    ],
                    folder,
                )
            print(
                f"{title}, {rule}: {seconds:.1f} s the second round, {peak / 2**30:.2f} GiB",
                flush=True,
            )


def measured(words: list[str], folder: str) -> tuple[float, int]:
    """Returns the seconds of the last round and the peak of memory of a command."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from tfunlearn_cli.main import run; run()", *words],
        stdout=subprocess.DEVNULL,
    )
    highest = [0]

    def watch():
        while process.poll() is None:
            highest[0] = max(highest[0], sum(map(resident, [process.pid, *children(process.pid)])))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    if process.wait():
        raise SystemExit(process.returncode)
    watcher.join()
    lines = pathlib.Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["seconds"], highest[0]


def resident(process: int) -> int:
    """Returns the bytes that a process has in memory."""
    try:
        pages = int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def children(parent: int) -> list[int]:
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            above = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if above == parent:
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main()
