"""One federated round on both engines and elsewhere, interleaved in one run: wall and CPU time as ratios.

80 clients x 100 images 28x28x1, LeNet-5, 2 local epochs, batch 32, Adam, label flip and FLAP on (ours).
Every contestant is a process of its own (`contestants/`), with the interpreter that has its packages; rounds
take turns in a random order, the others wait. CPU time is that of the process and all its descendants. Linux only.

    python compare_engines.py --before CHECKOUT [--tff PYTHON] [--torch PYTHON] [--flower PYTHON] [--rounds 5]
    python compare_engines.py --model resnet20 --clients 4 --torch PYTHON --only tensorflow,torch

This interpreter runs the engine tensorflow and tf.map_fn; `--tff` is one with TensorFlow Federated, which also
runs the build to compare with (`--before`, a checkout of it). `--plain` names contestants that run without
oneDNN, as TensorFlow does by itself on processors without AVX512-VNNI.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time

from checkouts import packages
from timing import processor, with_descendants

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAUSE = 0.5  # seconds in which the threads of the contestant before come to rest
TICKS = os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """Return the name of the processor, with what decides on kernels."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    vector = "AVX512-VNNI" if "avx512_vnni" in text else "no AVX512-VNNI"
    return f"{processor()}, {len(os.sched_getaffinity(0))} cores, {vector}, {platform.system()}"


class Contestant:
    """A process that runs a round when asked to."""

    def __init__(self, name: str, python: str, words: list[str], **environment: str):
        self.name, self.seconds, self.used = name, [], []
        self._process = subprocess.Popen(
            [python, str(HERE / "contestants" / words[0]), *words[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        self._wait("ready")

    def _wait(self, word: str) -> None:
        for line in self._process.stdout:
            if line.strip() == word:
                return
        raise SystemExit(f"{self.name} ended, code {self._process.wait()}")

    def round(self, counts: bool) -> None:
        """Run a round; remember its time if it counts."""
        used, started = cpu_of(self._process.pid), time.perf_counter()
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self._wait("done")
        if counts:
            self.seconds.append(time.perf_counter() - started)
            self.used.append(cpu_of(self._process.pid) - used)

    def end(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()


def cpu_of(process: int) -> float:
    """Return the CPU seconds of a process and its living descendants, and of children that ended."""
    return (
        sum(sum(map(int, fields[11:15])) for fields in with_descendants(process).values()) / TICKS
    )


def contestants(given: argparse.Namespace, folder: pathlib.Path) -> dict[str, tuple]:
    """Return name -> (interpreter, words, environment) of all that are asked for.

    Links to the packages of both checkouts are made in `folder`.
    """
    ours = {"PYTHONPATH": packages(folder / "this", ROOT)}
    size = [given.model, str(given.clients)]
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_ENABLE_ONEDNN_OPTS": "1"}
    found = {"tensorflow": (sys.executable, ["ours.py", "tensorflow", *size], ours)}
    if given.tff:
        found["tff"] = (given.tff, ["ours.py", "tff", *size], ours)
        if given.before:
            checkout = packages(folder / "before", pathlib.Path(given.before).resolve())
            words = ["ours.py", "before", *size]
            found["before"] = (given.tff, words, {"PYTHONPATH": checkout})
    if given.model == "lenet5":
        found["map_fn"] = (sys.executable, ["yardsticks.py", "map_fn", *size], {**ours, **threads})
        if given.tff:
            words = ["yardsticks.py", "build_weighted_fed_avg", *size]
            found["build_weighted_fed_avg"] = (given.tff, words, ours)
    if given.torch:
        found["torch"] = (given.torch, ["torch_loop.py", "loop", *size], {})
        if given.model == "lenet5":
            found["torch vmap"] = (given.torch, ["torch_loop.py", "vmap", *size], {})
    if given.flower:
        found["flower"] = (given.flower, ["flower.py", *size], {})
    for name in (given.plain or "").split(",") if given.plain else ():
        found[name][2]["TF_ENABLE_ONEDNN_OPTS"] = "0"
    only = given.only.split(",") if given.only else list(found)
    return {name: found[name] for name in found if name in only}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("before", "tff", "torch", "flower", "only", "plain"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--model", default="lenet5")
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of each (default 5)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(given, contestants(given, pathlib.Path(folder)))


def compare(given: argparse.Namespace, asked: dict[str, tuple]) -> None:
    """Run the rounds of all contestants in turns, and print the table."""
    running = [
        Contestant(name, python, words, **environment)
        for name, (python, words, environment) in asked.items()
    ]
    order = random.Random(0)
    for number in range(given.rounds + 2):
        for one in order.sample(
            running, len(running)
        ):  # what ran before leaves caches, and threads
            time.sleep(PAUSE)
            one.round(number >= 2)
    print(f"{machine()}; {given.model}, {given.clients} clients, medians of {given.rounds} rounds")
    base = next((one for one in running if one.name == "before"), running[0])
    wall, cpu = statistics.median(base.seconds), statistics.median(base.used)
    print(f"{'':24} {'wall':>6} {'CPU':>6}   x {base.name} ({wall:.2f} s, {cpu:.2f} CPU s)")
    for one in running:
        ratios = statistics.median(one.seconds) / wall, statistics.median(one.used) / cpu
        print(f"{one.name:24} {ratios[0]:6.2f} {ratios[1]:6.2f}")
    for one in running:
        one.end()


if __name__ == "__main__":
    main()
