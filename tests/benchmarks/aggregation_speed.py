"""Seconds and memory of every aggregation rule on 80 updates of 1.7 million parameters.

    .venv/bin/python tests/benchmarks/aggregation_speed.py [--clients 80] [--parameters 1700000]
        [--inside-tff] [--byzfl PYTHON]

Prints the median of five calls, its ratio to plain NumPy doing the same where there is a one-line
way, the goal, and the most memory beyond the stack so far, as a share of it. Median and trimmed
mean are compared with ByzFL's (byzfl_speed.py) if an interpreter has it; the goal is at most 1.0.
"""

from __future__ import annotations

import argparse
import sys

import byzfl_speed
import numpy as np
from timing import peak, seconds

from tfunlearn.aggregation import RULES
from tfunlearn.aggregation.rule import Round

GOALS = {
    "krum": 0.5,
    "multi-krum": 0.5,
    "median": 0.5,
    "trimmed-mean": 0.5,
    "bulyan": 1.2,
    "geometric-median": 0.4,
}
PLAIN = {
    "mean": lambda u, f: u.mean(axis=0),
    "median": lambda u, f: np.median(u, axis=0),
    "trimmed-mean": lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(axis=0),
    "krum": lambda u, f: u[
        np.sort(np.array([np.square(u - row).sum(axis=1) for row in u]), axis=1)[
            :, 1 : len(u) - f - 1
        ]
        .sum(axis=1)
        .argmin()
    ],
}


def inside_tff(updates: np.ndarray, f: int) -> None:
    """Prints the rules' TensorFlow graphs, as they run in a TFF worker."""
    import tensorflow as tf

    tensor = tf.constant(updates)
    for name in ("mean", "krum", "geometric-median", "median", "trimmed-mean", "bulyan"):
        graph = tf.function(lambda u: RULES[name](u, Round(f=f)), autograph=False)
        print(
            f"{name:18} {seconds(lambda: graph(tensor), 1, warm=True):7.3f} s as a graph",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--parameters", type=int, default=1_700_000)
    parser.add_argument("--inside-tff", action="store_true")
    parser.add_argument(
        "--byzfl", metavar="PYTHON", default=sys.executable, help="interpreter that has ByzFL"
    )
    options = parser.parse_args()
    shape = options.clients, options.parameters
    updates = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    f, before = options.clients // 5, peak()
    print(f"{shape[0]} x {shape[1]:,} float32, {updates.nbytes / 1e6:.0f} MB, f = {f}")
    print(f"{'rule':18} {'seconds':>9} {'goal':>5} {'beyond the stack':>17}")
    ours = {}
    for name, rule in RULES.items():
        given = Round(f=f, reference=updates[0] if rule.reference else None)
        ours[name] = seconds(lambda: rule(updates, given), 5, warm=True)
        print(
            f"{name:18} {ours[name]:7.3f} s {GOALS.get(name, ''):>5} "
            f"{(peak() - before) / updates.nbytes:16.0%}",
            flush=True,
        )
    for name, plain in PLAIN.items():
        theirs = seconds(lambda: plain(updates, f), 1, warm=True)
        print(f"{name:18} {ours[name] / theirs:7.3f} x plain NumPy's {theirs:.2f} s", flush=True)
    byzfl_speed.compare(options.byzfl, updates, f)
    if options.inside_tff:
        inside_tff(updates, f)


if __name__ == "__main__":
    main()
