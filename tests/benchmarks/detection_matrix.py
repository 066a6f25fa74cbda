"""Detectors against attacks on digits: grades by attack, partition and seed.

    .venv/bin/python tests/benchmarks/detection_matrix.py OUT.csv [--seeds 3] [--rounds 30]

One line per run and detector. A stopped call continues after the runs that OUT.csv holds.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import tempfile

from tfunlearn.detection import DETECTORS
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.detection import detect_run

HEAD = (
    *("attack", "partition", "seed", "detector", "flagged", "precision", "recall", "f1", "auc"),
    *("false_alarms", "since"),
)
ATTACKS = {
    "none": {},
    "sign-flip": dict(attack="sign-flip"),
    "label-flip": dict(attack="label-flip"),
    "backdoor boosted": dict(attack=["backdoor", "boost"]),
    "alie": dict(attack="alie", attack_scale=1.5),
    "min-max": dict(attack="min-max"),
    "fang-trim": dict(attack="fang-trim"),
}
PARTITIONS = {"iid": {}, "dirichlet": dict(partition="dirichlet", alpha=0.5)}


def rows_of(attack: str, partition: str, seed: int, rounds: int):
    """Yield a row for each detector."""
    fields = {**ATTACKS[attack], **PARTITIONS[partition]}
    if attack != "none":
        fields["malicious"] = 3
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "run"
        config = run_config(
            rounds=rounds, seed=seed, history="all", validation_examples=100, byzantine=3, **fields
        )
        train(config, out=path)
        found = detect_run(path, list(DETECTORS), skip=True)
    for one in found.results:
        grade, detection = one.grade, one.stored.found
        assert grade is not None  # a simulation records who attacked
        values = [grade.precision, grade.recall, grade.f1, grade.auc]
        yield [
            *(attack, partition, seed, detection.detector, len(detection.flagged)),
            *("" if value is None else f"{value:.4f}" for value in values),
            *(grade.false_alarms, "" if one.since is None else one.since),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    done = set()
    if given.out.exists():
        with open(given.out, newline="") as file:
            done = {tuple(row[:3]) for row in csv.reader(file)}
    else:
        with open(given.out, "w", newline="") as file:
            csv.writer(file).writerow(HEAD)
    for attack in ATTACKS:
        for partition in PARTITIONS:
            for seed in range(given.seeds):
                if (attack, partition, str(seed)) in done:
                    continue
                rows = list(rows_of(attack, partition, seed, given.rounds))
                with open(given.out, "a", newline="") as file:
                    csv.writer(file).writerows(rows)
                print(attack, partition, seed, flush=True)


if __name__ == "__main__":
    main()
