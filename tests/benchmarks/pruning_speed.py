"""Processor time of one pruning of 1 % of the unit pairs by impact; prints medians and ratios.

    mlp      784-512-256-128-64-10, goal 50 ms
    lenet5   28x28x1, goal 3 ms
    wide     4096-4096-4096-10: a pair of 4096-unit layers, goal 5 s and 2 GB

Each beside its own score by saliency alone, and the Dense layers of LeNet-5 also beside the
published steps in plain Python loops, which is how the published pruner works.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import statistics
import sys
import time

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.models import build_model
from tfunlearn.pruning import prune_pairs

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "pruning"))
GOALS = {"mlp": 0.050, "lenet5": 0.003, "wide": 5.0}


def wide():
    dense = tf.keras.layers.Dense
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input((4096,)),
            dense(4096, activation="relu"),
            dense(4096, activation="relu"),
            dense(10),
        ]
    )


def processor_seconds(work, times: int) -> float:
    """Returns the median processor time of `work()`, which gets a fresh start before each."""
    seconds = []
    for restart, run in [work] * (times + 1):
        restart()
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


def pruning_of(model, **options):
    weights = model.get_weights()
    return (lambda: model.set_weights(weights)), (lambda: prune_pairs(model, 0.01, **options))


def loops_on_lenet(model):
    from brute_force import published_steps

    dense = [w.astype(np.float64) for w in model.get_weights()[4:]]
    return (lambda: None), (
        lambda: published_steps([w.copy() for w in dense], [True, True, False], 0.01)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=15, help="timed runs of each (default 15)")
    times = parser.parse_args().times
    models = {
        "lenet5": build_model("lenet5", (28, 28, 1), 10),
        "mlp": build_model("mlp", (28, 28, 1), 10),
        "wide": wide(),
    }
    for name, model in models.items():
        count = times if name != "wide" else 3
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        impact = processor_seconds(pruning_of(model), count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        saliency = processor_seconds(pruning_of(model, score="saliency"), count)
        print(
            f"{name:<7} impact {impact * 1e3:9.2f} ms = {impact / GOALS[name]:.2f} of the goal   "
            f"saliency {saliency * 1e3:9.2f} ms, impact / saliency = {impact / saliency:.2f}   "
            f"memory {before:.2f} -> {peak:.2f} GB"
        )
    loops = processor_seconds(loops_on_lenet(models["lenet5"]), 3)
    flap = processor_seconds(pruning_of(models["lenet5"], compat="flap"), times)
    print(
        f"lenet5  published steps: ours {flap * 1e3:.2f} ms / loops {loops * 1e3:.0f} ms "
        f"= {flap / loops:.4f}"
    )


if __name__ == "__main__":
    main()
