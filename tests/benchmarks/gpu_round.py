"""A round on a GPU against the same machine's CPU: LeNet-5, ResNet-20, ResNet-18, 80 clients x 100 images.

Each device has a process of its own, rounds take turns, and CPU time is not counted: wall time as ratios.
Prints which devices there are; without a GPU it says so and ends with code 1.

    python gpu_round.py [--models lenet5,resnet20,resnet18] [--clients 80] [--rounds 3] [--at-once 1,4]
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import tempfile

from checkouts import packages
from compare_engines import ROOT, Contestant, machine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="lenet5,resnet20,resnet18")
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each (default 3)")
    parser.add_argument("--at-once", default="1,4", help="clients at once on the GPU")
    given = parser.parse_args()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        sys.exit("TensorFlow finds no GPU here")
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    print(f"{name} against {machine()}; TensorFlow {tf.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        measure(given, {"PYTHONPATH": packages(pathlib.Path(folder), ROOT)})


def measure(given: argparse.Namespace, ours: dict[str, str]) -> None:
    """Measure each model on both devices, and print the ratios."""
    for model in given.models.split(","):
        words = ["ours.py", "tensorflow", model, str(given.clients)]
        running = [Contestant("CPU", sys.executable, words, CUDA_VISIBLE_DEVICES="-1", **ours)]
        for count in given.at_once.split(","):
            place = f"GPU, {count} at once"
            running.append(Contestant(place, sys.executable, [*words, count], **ours))
        for number in range(given.rounds + 1):
            for one in running:
                one.round(number >= 1)
        base = statistics.median(running[0].seconds)
        for one in running:
            found = statistics.median(one.seconds)
            print(f"{model:10} {one.name:16} {found / base:6.3f} x CPU ({found:.2f} s)", flush=True)
            one.end()


if __name__ == "__main__":
    main()
