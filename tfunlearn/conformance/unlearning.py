"""The contract of unlearning methods, checked by unlearning from a small run twice."""

from __future__ import annotations

import json
import pathlib
import tempfile
from typing import Any

import numpy as np

from tfunlearn.config.reading import run_config
from tfunlearn.conformance.finding import Finding, findings_of
from tfunlearn.core.files import checksum
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.settings import UnlearnSettings
from tfunlearn.training.train import train
from tfunlearn.workflows.unlearn.workflow import UnlearningRun, unlearn

SMALL = dict(
    train_examples=240,
    clients=6,
    rounds=4,
    lr=3e-3,
    malicious=2,
    attack="label-flip",
    history="all",
)


def check_method(method: UnlearningMethod, own: Any, name: str) -> list[Finding]:
    """Check an unlearning method end to end (about 20 s).

    Args:
        method: the method.
        own: settings of the method.
        name: name or specification of the method.
    """
    words = ("malicious",) if "clients" in method.requests else ("class:3",)
    with tempfile.TemporaryDirectory() as folder:
        run = train(run_config(**SMALL), out=pathlib.Path(folder) / "run").directory
        before = {path.name: checksum(path) for path in run.path.iterdir() if path.is_file()}
        settings = UnlearnSettings(name, words, reference=False, own=own)
        made: list[UnlearningRun] = []

        def ends(_: Any) -> tuple:
            made.extend(
                unlearn(run.path, settings, out=pathlib.Path(folder) / f"out-{n}") for n in (1, 2)
            )
            return True, f"{len(made[0].metrics)} rounds"

        def finite(_: Any) -> tuple:
            weights = made[0].directory.read_state().weights
            good = all(np.isfinite(w).all() for w in weights)
            return good, "finite" if good else "not finite"

        def same(_: Any) -> tuple:
            first, again = (one.directory.read_state().weights for one in made)
            return (
                all(np.array_equal(a, b) for a, b in zip(first, again)),
                "two runs of the same seed are compared bit by bit",
            )

        def leaves(_: Any) -> tuple:
            after = {path.name: checksum(path) for path in run.path.iterdir() if path.is_file()}
            return after == before, "the files of the run are compared before and after"

        def describes(_: Any) -> tuple:
            report = made[0].notes["report"]
            json.dumps(report)
            words = method.describe(report)
            good = isinstance(words, list) and all(isinstance(word, str) for word in words)
            return good, "; ".join(words)[:100] if good else f"{type(words).__name__}"

        def differs(_: Any) -> tuple:
            old, new = run.read_state().weights, made[0].directory.read_state().weights
            moved = any(not np.array_equal(a, b) for a, b in zip(old, new))
            return moved, "the model is another one" if moved else "the model is unchanged"

        return findings_of(
            {
                "ends": ends,
                "finite": finite,
                "same seed, same bits": same,
                "run unchanged": leaves,
                "changes the model": differs,
                "report in words": describes,
            },
            method,
        )
