"""The metrics of a run's every round."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfunlearn.config.threats import AttackConfig
from tfunlearn.core.seeds import at_most, generator
from tfunlearn.datasets import ImageData
from tfunlearn.evaluation import OutputsOf, accuracy, attack_success, cross_entropy, source_error
from tfunlearn.models.outputs import ends_in_softmax
from tfunlearn.training.federation import Federation

MOST_EXAMPLES = 5000  # of training data that are measured in a round


class TestMeasures:
    """Measures test accuracy and loss, attack success and source-class error.

    Attack success is the share of source-class test images that are taken for the target; under a
    backdoor the share of triggered test images of any other class that are.

    Args:
        outputs_of: gives the outputs of the model.
        data: the data set.
        attack: names the source and target class.
    """

    __test__ = False  # no test class, whatever its name

    def __init__(self, outputs_of: OutputsOf, data: ImageData, attack: AttackConfig):
        self._outputs_of, self._data, self._attack = outputs_of, data, attack

    def __call__(
        self,
        weights: list[np.ndarray] | None = None,
        *,
        track: Callable[[Sequence], Iterable] = iter,
    ) -> dict[str, float | None]:
        """Returns the metrics, None where the test set has no example to measure one on.

        Args:
            weights: set on the model first; default its own.
            track: wraps the sequence of batches, to show progress.
        """
        return self.of(self.outputs(weights, track=track))

    def outputs(
        self,
        weights: list[np.ndarray] | None = None,
        *,
        track: Callable[[Sequence], Iterable] = iter,
    ) -> np.ndarray:
        """Returns the outputs on the test images `(m, classes)`; arguments as above."""
        return self._outputs_of(self._data.test_images, weights, track=track)

    def accuracy_on(self, outputs: np.ndarray, classes: np.ndarray) -> float:
        """Returns the accuracy on the test images of some classes, NaN if there are none."""
        rows = np.isin(self._data.test_labels, classes)
        if not rows.any():
            return math.nan
        return accuracy(outputs[rows].argmax(axis=1), self._data.test_labels[rows])

    def of(self, outputs: np.ndarray) -> dict[str, float | None]:
        """Returns the metrics, given the outputs on the test images `(m, classes)`."""
        predictions, labels = outputs.argmax(axis=1), self._data.test_labels
        from_logits = not ends_in_softmax(self._outputs_of.model)
        return _known(
            dict(
                test_accuracy=accuracy(predictions, labels),
                test_loss=cross_entropy(outputs, labels, from_logits=from_logits),
                attack_success=self._success(predictions),
                source_error=source_error(predictions, labels, source=self._attack.source),
            )
        )

    def _success(self, predictions: np.ndarray) -> float:
        attack, data = self._attack, self._data
        if attack.on_data is None or attack.on_data[0].triggered is None:
            return attack_success(
                predictions, data.test_labels, source=attack.source, target=attack.target
            )
        others = data.test_labels != attack.target
        if not others.any():
            return math.nan
        on_data, own = attack.on_data
        triggered = self._outputs_of(on_data.triggered(data.test_images[others], own))
        return accuracy(triggered.argmax(axis=1), np.full(len(triggered), attack.target))


class ForgettingMeasures:
    """Measures what `TestMeasures` does, and accuracy on forgotten and remaining training data.

    On remaining data the loss too. What earlier requests have forgotten is measured by itself.
    Training data count as the clients hold them while the attack is on: poisoned images and labels
    included. Of each part at most 5,000 examples are measured, drawn at random. Where whole classes
    go, test accuracy is measured on those that go now and on those that stay.

    Args:
        outputs_of: gives the outputs of the model.
        federation: the federation before anything was forgotten.
        forgotten: which of its examples are to be forgotten, bool `(N,)`.
        remaining: which remain.
        earlier: which were forgotten by earlier requests; default none.
    """

    def __init__(
        self,
        outputs_of: OutputsOf,
        federation: Federation,
        forgotten: np.ndarray,
        remaining: np.ndarray,
        earlier: np.ndarray | None = None,
    ):
        self._outputs_of, held = outputs_of, federation.poisoned
        self._from_logits = not ends_in_softmax(outputs_of.model)
        self._test = TestMeasures(outputs_of, federation.data, federation.config.attack)
        parts = {
            "forget_accuracy": forgotten,
            "poisoned_accuracy": forgotten & federation.changed,
            "remain_accuracy": remaining,
        }
        if earlier is not None and earlier.any():
            parts["earlier_forget_accuracy"] = earlier
        chosen = {
            name: at_most(
                np.flatnonzero(rows),
                MOST_EXAMPLES,
                generator(federation.config.seed, "measured examples"),
            )
            for name, rows in parts.items()
        }
        union = np.unique(np.concatenate(list(chosen.values())))
        # one pass over everything, each example once
        self._images = np.concatenate([federation.data.test_images, held.images[union]])
        self._tests = len(federation.data.test_labels)
        self._parts = {
            name: (self._tests + np.searchsorted(union, rows), held.labels[rows])
            for name, rows in chosen.items()
        }
        stay = np.unique(federation.clients.labels[remaining])
        go = np.setdiff1d(federation.clients.labels[forgotten], stay)
        self._classes = {
            "forget_test_accuracy": go,
            "remain_test_accuracy": stay if len(go) else go,
        }

    def __call__(self, weights: list[np.ndarray]) -> dict[str, float | None]:
        """Returns the metrics: those of `TestMeasures`, `forget_accuracy`, `poisoned_accuracy` (on
        the forgotten examples that the attack had changed), `remain_accuracy` and `remain_loss`,
        `earlier_forget_accuracy` (on what was forgotten before, where something was),
        `forget_test_accuracy` (on test images of the classes of which nothing remains) and
        `remain_test_accuracy` (of the classes that stay, if some go)."""
        outputs = self._outputs_of(self._images, weights)
        tests = outputs[: self._tests]
        values = self._test.of(tests)
        for name, classes in self._classes.items():
            values[name] = self._test.accuracy_on(tests, classes)
        for name, (places, labels) in self._parts.items():
            values[name] = math.nan
            if len(places):
                own = outputs[places]
                values[name] = accuracy(own.argmax(axis=1), labels)
                if name == "remain_accuracy":
                    values["remain_loss"] = cross_entropy(
                        own, labels, from_logits=self._from_logits
                    )
        return _known(values)


def _known(values: dict) -> dict[str, float | None]:
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in values.items()
    }
