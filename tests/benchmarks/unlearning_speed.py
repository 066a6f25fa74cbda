"""FedUP's mask for ResNet-18 and 10 clients: seconds, and memory beside the stored updates.

Run: .venv/bin/python tests/benchmarks/unlearning_speed.py

Prints medians over repetitions of one process: the mask from updates as a run keeps them, the same
from lists of Keras weights, and NumPy written down plainly (whole arrays in float64, full sorts),
and the ratio to that.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from timing import peak, seconds

import tfunlearn  # noqa: F401  (quiets TensorFlow)
from tfunlearn.core.history import HistoryRound
from tfunlearn.core.vectors import sizes_of
from tfunlearn.models import build_model
from tfunlearn.unlearning import fedup, kernels_of

CLIENTS, MALICIOUS, REPEATS = 10, [0, 1, 2, 3], 5


def kept_round():
    """Returns a kept round of ResNet-18 with random updates, and where the kernels lie."""
    model = build_model("resnet18", (32, 32, 3), 10)
    weights, rng = model.get_weights(), np.random.default_rng(0)
    size = sum(sizes_of([w.shape for w in weights]))
    updates = np.empty((CLIENTS, size), np.float32)
    for row in updates:
        rng.standard_normal(out=row, dtype=np.float32)
        row *= 1e-3
    return HistoryRound(1, weights, np.arange(CLIENTS), updates, np.full(CLIENTS, 500)), (
        kernels_of(model)
    )


def plain(kept, kernels, fraction=0.1):
    """FedUP as one would write it first."""
    locals_ = np.stack(
        [np.concatenate([w.ravel() for w in kept.weights]) + update for update in kept.updates]
    ).astype(np.float64)
    benign = [k for k in range(CLIENTS) if k not in MALICIOUS]
    average, first = locals_[benign].mean(axis=0), 0
    difference = locals_[MALICIOUS].mean(axis=0) - average
    for place, weight in enumerate(kept.weights):
        columns = slice(first, first + weight.size)
        if place in kernels:
            rank = difference[columns] ** 2 * np.abs(weight.ravel())
            order = np.argsort(-rank, kind="stable")
            average[columns][order[: int(np.ceil(fraction * weight.size))]] = 0
        first += weight.size
    return average


def memory() -> None:
    """Prints the peak memory of one mask over what was there before, in a process of its own."""
    kept, kernels = kept_round()
    before = peak()
    fedup(kept.weights, kept.local_models(), malicious=MALICIOUS, fraction=0.1, kernels=kernels)
    extra, stored = peak() - before, kept.updates.nbytes
    print(
        f"stored updates {stored / 1e6:.0f} MB, the mask takes {extra / 1e6:.0f} MB more: "
        f"{(stored + extra) / stored:.2f}x",
        flush=True,
    )


def main() -> None:
    subprocess.run([sys.executable, __file__, "memory"], check=True)
    kept, kernels = kept_round()
    print(f"{kept.updates.shape[1]:,} weights, {CLIENTS} clients, {len(kernels)} kernels")
    models = [list(local) for local in kept.local_models()]
    ours = seconds(
        lambda: fedup(
            kept.weights, kept.local_models(), malicious=MALICIOUS, fraction=0.1, kernels=kernels
        ),
        REPEATS,
    )
    keras = seconds(
        lambda: fedup(kept.weights, models, malicious=MALICIOUS, fraction=0.1, kernels=kernels),
        REPEATS,
    )
    estimated = seconds(
        lambda: fedup(kept.weights, models, malicious=MALICIOUS, kernels=kernels), REPEATS
    )
    reference = seconds(lambda: plain(kept, kernels), REPEATS)
    print(f"from updates    {ours:.2f} s  {ours / reference:.3f}x of plain NumPy")
    print(f"from weights    {keras:.2f} s  {keras / reference:.3f}x")
    print(f"fraction auto   {estimated:.2f} s  {estimated / reference:.3f}x")
    print(f"plain NumPy     {reference:.2f} s")


if __name__ == "__main__":
    memory() if sys.argv[1:] == ["memory"] else main()
