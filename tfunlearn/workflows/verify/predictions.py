"""Predictions of each model on the forget set, the retain set and the test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.seeds import at_most, generator
from tfunlearn.evaluation import OutputsOf, cross_entropies, probabilities
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.training.measures import TestMeasures
from tfunlearn.verification import confidences

MOST_FORGOTTEN, MOST_REMAINING = 5000, 10_000


@dataclass(frozen=True)
class Examples:
    """A set of examples, as their clients held them during the attack.

    Attributes:
        features: `(m, ...)`.
        labels: `(m,)`.
        owners: id of the client that holds each example, `(m,)`; -1 for test examples.
    """

    features: np.ndarray
    labels: np.ndarray
    owners: np.ndarray


@dataclass(frozen=True)
class ModelPredictions:
    """Predictions of one model on each set.

    Attributes:
        hits: set name to whether each example is classified correctly, bool `(m,)`.
        losses: set name to the cross-entropy of each example, `(m,)`.
        odds: set name to phi = log p - log(1 - p) of each example, `(m,)`.
        probabilities: set name to class probabilities, `(m, classes)`.
        confusion: counts of the test images, `(true class, predicted class)`.
        measured: test accuracy, attack success rate and further metrics, see `TestMeasures`.
    """

    hits: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    odds: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    confusion: np.ndarray
    measured: dict

    def accuracy(self, name: str, rows: np.ndarray | None = None) -> float:
        """Return the accuracy on a set, or on the given rows of it."""
        return float(self.hits[name][... if rows is None else rows].mean())

    def confidence(self, name: str) -> float:
        """Return the mean predicted probability of the labels of a set."""
        return float(np.exp(-self.losses[name]).mean())

    def loss(self, name: str, rows: np.ndarray | None = None) -> float:
        """Return the mean loss on a set, or on the given rows of it."""
        return float(self.losses[name][... if rows is None else rows].mean())


class Sets:
    """Evaluation sets: `forgotten`, `remaining`, `test`, `pool` and `never`.

    `forgotten` and `remaining` are the forget set and the retain set, subsampled to at most 5,000
    and 10,000 examples. `pool` are the test images, poisoned as by the malicious clients if the
    forget set was poisoned and held by malicious clients only. `never` are the images of `pool`
    whose classes occur in the forget set: non-members, similar to the forget set. Training examples
    are used in their poisoned form if any round of the training was attacked.

    Attributes:
        sets: name to examples.
        totals: sizes of the full `forgotten` and `remaining` sets, before subsampling.
        poisoned: whether `pool` and `never` are poisoned.
        partly_poisoned: whether the forget set was poisoned only in part or only in some rounds.
        classes: number of classes.
        alike: bool mask of the images of `pool` that are in `never`.
        stay: bool mask of the test images whose class occurs in the retain set.
        attacked_tests: number of test images that attack success rate is measured on.

    Args:
        task: the unlearning task.
        seed: seed of the subsampling.
    """

    def __init__(self, task: UnlearningTask, seed: int):
        federation, gone = task.source.federation, task.source.forget_mask | task.forgotten
        attacked = [
            federation.attacked(number) for number in range(1, task.source.training_rounds + 1)
        ]
        held = federation.poisoned if any(attacked) else federation.clients
        data = federation.data
        owners = held.owners
        rows = {
            "forgotten": at_most(
                np.flatnonzero(task.forgotten),
                MOST_FORGOTTEN,
                generator(seed, "forgotten examples"),
            ),
            "remaining": at_most(
                np.flatnonzero(~gone), MOST_REMAINING, generator(seed, "remaining examples")
            ),
        }
        self.sets = {
            name: Examples(held.features[r], held.labels[r], owners[r]) for name, r in rows.items()
        }
        self.sets["test"] = Examples(
            data.test_features, data.test_labels, np.full(len(data.test_labels), -1)
        )
        images, labels = data.test_features, data.test_labels
        self.totals = {"forgotten": int(task.forgotten.sum()), "remaining": int((~gone).sum())}
        changed = any(attacked) and bool((federation.changed & task.forgotten).any())
        self.poisoned = changed and bool(
            np.isin(owners[task.forgotten], federation.malicious).all()
        )
        self.partly_poisoned = changed and not (self.poisoned and all(attacked))
        if self.poisoned:
            images, labels = federation.as_attackers_would(images, labels)
        self.alike = alike = np.isin(labels, np.unique(self.sets["forgotten"].labels))
        self.sets["pool"] = Examples(images, labels, np.full(len(labels), -1))
        self.sets["never"] = Examples(images[alike], labels[alike], np.full(int(alike.sum()), -1))
        self.stay = np.isin(data.test_labels, np.unique(federation.clients.labels[~gone]))
        self.classes, attack = data.classes, federation.attack
        self.attacked_tests = int(
            np.count_nonzero(
                data.test_labels != attack.classes.target
                if attack.on_data and attack.on_data[0].triggered
                else data.test_labels == attack.classes.source
            )
        )
        self._outputs_of = OutputsOf(task.source.model)
        self._from_logits = not gives_probabilities(task.source.model)
        self._measures = TestMeasures(self._outputs_of, data, federation.attack)

    @property
    def counts(self) -> dict[str, int]:
        """Number of examples of each set."""
        return {name: len(examples.labels) for name, examples in self.sets.items()}

    def view(self, weights: list[np.ndarray]) -> ModelPredictions:
        """Return the predictions of a model with the given weights."""
        hits, losses, odds, shares = {}, {}, {}, {}
        for name, examples in self.sets.items():
            if name == "pool":  # only the shadow models predict on all of it
                continue
            outputs = self._outputs_of(examples.features, weights)
            if name == "test":
                measured = self._measures.of(outputs)
            predicted = outputs.argmax(axis=1)
            hits[name] = predicted == examples.labels
            losses[name] = cross_entropies(outputs, examples.labels, from_logits=self._from_logits)
            odds[name] = confidences(outputs, examples.labels, from_logits=self._from_logits)
            shares[name] = probabilities(outputs, from_logits=self._from_logits)
            if name == "test":
                confusion = np.zeros((self.classes, self.classes), int)
                np.add.at(confusion, (examples.labels, predicted), 1)
        return ModelPredictions(hits, losses, odds, shares, confusion, measured)
