"""Median and trimmed mean against ByzFL's, in turns; ByzFL runs in a process of its own.

    .venv/bin/python tests/benchmarks/byzfl_speed.py PYTHON [--clients 80] [--parameters 1700000]

PYTHON is an interpreter that has ByzFL, whose NumPy may be another one than ours; the goal is
against ByzFL 0.0.11 on NumPy 2.4. Prints, for each rule, the median of the ratios of wall and
CPU seconds over pairs of calls, one after the other on the same numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

import numpy as np
from timing import processor, wall_and_cpu

PAIRS = 7
RULES = ("median", "trimmed-mean")


def numbers(clients: int, parameters: int) -> np.ndarray:
    """Returns the stack that both processes aggregate."""
    return np.random.default_rng(0).standard_normal((clients, parameters), dtype=np.float32)


def compare(python: str, updates: np.ndarray, f: int) -> None:
    """Prints our seconds, ByzFL's and their ratios, if `python` has ByzFL."""
    from tfunlearn.aggregation import RULES as OURS
    from tfunlearn.aggregation import sorting
    from tfunlearn.aggregation.rule import Round

    command = [python, __file__, "--serve", *map(str, updates.shape), str(f)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as byzfl:
        assert byzfl.stdin and byzfl.stdout
        versions = byzfl.stdout.readline().strip()
        if not versions:
            print(f"{python} has no ByzFL: --byzfl PYTHON names an interpreter that has")
            return
        way = "sort" if sorting.prefers_sort(len(updates)) else "sorting network"
        print(f"{processor()}; NumPy {np.__version__}, by {way}, against {versions}")
        for name in RULES:
            pairs = []
            for _ in range(PAIRS + 1):
                ours = wall_and_cpu(lambda: OURS[name](updates, Round(f=f)))
                print(name, file=byzfl.stdin, flush=True)
                pairs.append((*ours, *json.loads(byzfl.stdout.readline())))
            wall, cpu, their_wall, their_cpu = zip(*pairs[1:])  # the first pair warms up
            print(
                f"{name:18} {ratio(wall, their_wall):7.2f} x ByzFL's wall seconds, "
                f"{ratio(cpu, their_cpu):.2f} x its CPU seconds "
                f"({statistics.median(cpu):.2f} and {statistics.median(their_cpu):.2f} s)",
                flush=True,
            )


def ratio(ours: tuple[float, ...], theirs: tuple[float, ...]) -> float:
    """Returns the median of the ratios of pairs."""
    return statistics.median(a / b for a, b in zip(ours, theirs))


def serve(clients: int, parameters: int, f: int) -> None:
    """Answers each rule's name on standard input with ByzFL's wall and CPU seconds."""
    try:
        import byzfl  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    from importlib.metadata import version

    updates = numbers(clients, parameters)
    calls = {"median": byzfl.Median(), "trimmed-mean": byzfl.TrMean(f)}
    print(f"ByzFL {version('byzfl')} on NumPy {np.__version__}", flush=True)
    for line in sys.stdin:
        print(json.dumps(wall_and_cpu(lambda: calls[line.strip()](updates))), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(*map(int, sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", metavar="PYTHON", nargs="?", default=sys.executable)
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--parameters", type=int, default=1_700_000)
    options = parser.parse_args()
    compare(options.python, numbers(options.clients, options.parameters), options.clients // 5)


if __name__ == "__main__":
    main()
