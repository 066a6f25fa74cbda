"""What the attacks find of four methods, beside retraining: docs/verification.md.

Run: .venv/bin/python tests/benchmarks/verification_claims.py OUT [--data-dir DIR] [--shadows N]

LeNet-5, 2,000 images of MNIST (the embedded digits without --data-dir), 10 clients of which one
flips labels and is forgotten. Everything lies in OUT and is gone on with by the same command.
Prints a Markdown table and writes OUT/verification.csv.
"""

from __future__ import annotations

import argparse
import pathlib

from tfunlearn.core.files import replacing
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings
from tfunlearn.experiment.verification import VerifySettings, verify
from tfunlearn.training.resume import resume_training

METHODS = {"finetune": {}, "fedup": {}, "not": {}, "memorization": {"ratio": 0.3}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--shadows", type=int, default=8)
    asked = parser.parse_args()
    data = (
        dict(dataset="mnist", data_dir=asked.data_dir, train_examples=2000)
        if (asked.data_dir)
        else {}
    )
    run, lines = asked.out / "run", []
    if (run / "config.json").exists():
        resume_training(run)
    else:
        train(
            run_config(attack="label-flip", malicious=1, rounds=30, history="last", **data), out=run
        )
    for method, knobs in METHODS.items():
        unlearned = unlearn(run, unlearn_settings(method=method, reference=False, **knobs))
        record = verify(
            unlearned.directory.path, VerifySettings(retrains=5, shadows=asked.shadows), tell=print
        ).record
        lines += rows(method, record)
    head = ["method", "measure", "before", "after", "retrained", "noise", "verdict"]
    with replacing(asked.out / "verification.csv") as path:
        path.write_text("\n".join(",".join(line) for line in [head, *lines]) + "\n")
    for line in [head, ["---"] * len(head), *lines]:
        print("| " + " | ".join(line) + " |")


def rows(method: str, record: dict) -> list[list[str]]:
    found = [
        [
            method,
            e["name"].replace(",", ""),
            *(f"{e[name]:.3f}" for name in ("before", "after", "mean", "noise")),
            "within" if e["within"] else "outside",
        ]
        for e in record["evidence"]
    ]
    score = record["shadows"]["challenge"]
    found.append([method, "NeurIPS 2023 score", "", f"{score['score']:.3f}", "", "", ""])
    found.append([method, "verdict", "", "", "", "", record["verdict"]["word"]])
    return found


if __name__ == "__main__":
    main()
