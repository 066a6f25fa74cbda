"""How often the verdict is wrong on real federations: perfect unlearnings and untouched models.

For each federation and request `--pool` models are retrained; every one in turn is taken for a perfect
unlearning and held against K others, drawn at random, and so is the model before, untouched. Models lie in
OUT and are shared by all draws; the same command goes on where it was stopped.

    .venv/bin/python tests/benchmarks/verdict_rates.py OUT [--federations 8] [--pool 12] [--models 5]
"""

from __future__ import annotations

import argparse
import collections
import csv
import pathlib

import numpy as np
import tensorflow as tf

from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn_settings
from tfunlearn.experiment.verification import VerifySettings
from tfunlearn.methods.source import open_source
from tfunlearn.verification import judge
from tfunlearn.workflows.evaluate.retraining import retrain
from tfunlearn.workflows.unlearn.workflow import task_of
from tfunlearn.workflows.verify import behaviour
from tfunlearn.workflows.verify.grading import evidence_of
from tfunlearn.workflows.verify.membership import attack_by_likelihood, attack_by_threshold
from tfunlearn.workflows.verify.predictions import Sets

REQUESTS = {"client": ["client:0"], "class": ["class:1"]}
CONFIG = dict(dataset="digits", model="mlp", rounds=15, partition="dirichlet", alpha=0.5, lr=3e-3)


def words_of(sets, before, after, retrained, settings) -> tuple[str, ...]:
    """Returns the words of the verdict on `after`."""
    found = dict(
        counts={name: len(part.labels) for name, part in sets.sets.items()},
        poisoned=sets.poisoned,
        partly_poisoned=sets.partly_poisoned,
        measures=behaviour.measures(before, after, retrained),
    )
    attacks = {
        "threshold": attack_by_threshold(before, after, retrained, sets.totals),
        "LiRA": attack_by_likelihood(before, after, retrained, settings.variance),
        "shadow models": None,
    }
    graded, _ = evidence_of(found, sets, (before, after, *retrained), attacks, None, settings)
    return judge(graded).words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--federations", type=int, default=8)
    parser.add_argument("--pool", type=int, default=12)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5, help="sets of K others for each model")
    args = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    settings, rows = VerifySettings(), []
    for seed in range(args.federations):
        folder = args.out / f"federation{seed}"
        if not (folder / "model.keras").exists():
            train(run_config(**CONFIG, seed=seed), out=folder)
        for name, words in REQUESTS.items():
            task = task_of(
                open_source(folder),
                unlearn_settings(method="retrain", forget=words, reference=False),
            )
            weights = [retrain(task, number).weights for number in range(1, args.pool + 1)]
            sets = Sets(task, settings.verify_seed)
            before, rng = sets.view(task.source.state.weights), np.random.default_rng(seed)
            views = [sets.view(own) for own in weights]
            for place in range(args.pool):
                others = [n for n in range(args.pool) if n != place]
                for _ in range(args.draws):
                    chosen = [views[n] for n in rng.choice(others, args.models, replace=False)]
                    for kind, after in (("perfect", views[place]), ("untouched", before)):
                        rows.append(
                            (
                                seed,
                                name,
                                kind,
                                " + ".join(words_of(sets, before, after, chosen, settings)),
                            )
                        )
            print(f"federation {seed}, {name}: {len(rows)} verdicts", flush=True)
            tf.keras.backend.clear_session()
    with open(args.out / "verdicts.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("federation", "request", "kind", "words"), *rows]
        )
    for name in REQUESTS:
        for kind in ("perfect", "untouched"):
            counts = collections.Counter(row[3] for row in rows if row[1:3] == (name, kind))
            total = sum(counts.values())
            print(
                f"{name}, {kind}, {total} verdicts: "
                + ", ".join(
                    f"{word} {100 * count / total:.1f} %" for word, count in counts.most_common()
                )
            )


if __name__ == "__main__":
    main()
