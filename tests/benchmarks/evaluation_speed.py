"""Processor time of measuring one round of an unlearning, with oneDNN's kernels and without.

The same run and request in fresh processes, interleaved, with TF_ENABLE_ONEDNN_OPTS=1 and =0. Without the
variable TensorFlow chooses by the processor.

    .venv/bin/python tests/benchmarks/evaluation_speed.py RUN [--client 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

REPEATS, ROUNDS = 3, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--client", type=int, default=3)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        print(json.dumps(_measured(args.run, args.client)))
        return
    found = {"oneDNN": [], "without": []}
    values = {}
    for _ in range(REPEATS):
        for name, value in (("oneDNN", "1"), ("without", "0")):
            output = subprocess.run(
                [sys.executable, __file__, args.run, "--client", str(args.client), "--inner"],
                env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": value},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            milliseconds, values[name] = json.loads(output.splitlines()[-1])
            found[name].append(milliseconds)
    medians = {name: statistics.median(times) for name, times in found.items()}
    print(
        ", ".join(f"{name} {value:.0f} ms of processor time" for name, value in medians.items()),
        f"ratio {medians['oneDNN'] / medians['without']:.2f}",
    )
    differ = [
        name
        for name in values["oneDNN"]
        if "loss" not in name and values["oneDNN"][name] != values["without"][name]
    ]
    print("accuracies that differ:", ", ".join(differ) or "none")


def _measured(run: str, client: int) -> tuple[float, dict]:
    from tfunlearn.experiment.unlearning import unlearn_settings
    from tfunlearn.methods.source import open_source
    from tfunlearn.workflows.unlearn.workflow import measures_of, task_of

    source = open_source(run)
    measure = measures_of(
        task_of(
            source, unlearn_settings(method="retrain", forget=[f"client:{client}"], reference=False)
        )
    )
    values = measure(source.state.weights)
    started = time.process_time()
    for _ in range(ROUNDS):
        measure(source.state.weights)
    return (time.process_time() - started) / ROUNDS * 1e3, values


if __name__ == "__main__":
    main()
