"""Metrics of each round of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfunlearn.config.threats import AttackConfig
from tfunlearn.core.seeds import at_most, generator
from tfunlearn.datasets import LabeledData
from tfunlearn.evaluation import OutputsOf, accuracy, attack_success, cross_entropy, source_error
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.training.federation import Federation

MOST_EXAMPLES = 5000  # training examples measured per set and round


class TestMeasures:
    """Compute test accuracy, test loss, attack success rate and source-class error.

    The attack success rate is the share of source-class test examples classified as the target
    class; for a backdoor, the share of triggered test examples of all other classes that are.

    Args:
        outputs_of: computes the outputs of the model.
        data: the data set.
        attack: the attack, with source and target class.
    """

    __test__ = False  # keeps pytest from collecting the class

    def __init__(self, outputs_of: OutputsOf, data: LabeledData, attack: AttackConfig):
        self._outputs_of, self._data, self._attack = outputs_of, data, attack

    def __call__(
        self,
        weights: Sequence[np.ndarray] | None = None,
        *,
        track: Callable[[Sequence], Iterable] = iter,
    ) -> dict[str, float | None]:
        """Return the metrics, None for those that are not finite or have no test examples.

        Args:
            weights: weights to set on the model first; default its current weights.
            track: wraps the sequence of batches, to show progress.
        """
        return self.of(self.outputs(weights, track=track))

    def outputs(
        self,
        weights: Sequence[np.ndarray] | None = None,
        *,
        track: Callable[[Sequence], Iterable] = iter,
    ) -> np.ndarray:
        """Return the outputs on the test examples, `(m, classes)`; arguments as of a call."""
        return self._outputs_of(self._data.test_features, weights, track=track)

    def accuracy_on(self, outputs: np.ndarray, classes: np.ndarray) -> float:
        """Return the accuracy on the test examples of some classes, NaN if there are none."""
        rows = np.isin(self._data.test_labels, classes)
        if not rows.any():
            return math.nan
        return accuracy(outputs[rows].argmax(axis=1), self._data.test_labels[rows])

    def of(self, outputs: np.ndarray) -> dict[str, float | None]:
        """Return the metrics for outputs on the test examples, `(m, classes)`."""
        predictions, labels = outputs.argmax(axis=1), self._data.test_labels
        from_logits = not gives_probabilities(self._outputs_of.model)
        return _known(
            dict(
                test_accuracy=accuracy(predictions, labels),
                test_loss=cross_entropy(outputs, labels, from_logits=from_logits),
                attack_success=self._success(predictions),
                source_error=source_error(predictions, labels, source=self._attack.classes.source),
            )
        )

    def _success(self, predictions: np.ndarray) -> float:
        attack, data = self._attack, self._data
        if attack.on_data is None or attack.on_data[0].triggered is None:
            return attack_success(
                predictions,
                data.test_labels,
                source=attack.classes.source,
                target=attack.classes.target,
            )
        others = data.test_labels != attack.classes.target
        if not others.any():
            return math.nan
        on_data, own = attack.on_data
        assert on_data.triggered is not None
        triggered = self._outputs_of(on_data.triggered(data.test_features[others], own))
        return accuracy(triggered.argmax(axis=1), np.full(len(triggered), attack.classes.target))


class ForgettingMeasures:
    """Compute the metrics of `TestMeasures`, and accuracy on the forget set and the retain set.

    The loss is measured on the retain set too. Examples forgotten by earlier requests are a set of
    their own. Training data are measured as the clients hold them while the attack is active, with
    poisoned features and labels, and on at most 5,000 randomly drawn examples per set. If whole
    classes are forgotten, test accuracy is measured on these and on the remaining classes.

    Args:
        outputs_of: computes the outputs of the model.
        federation: the federation before any unlearning.
        forgotten: mask of the forget set, bool `(N,)`.
        remaining: mask of the retain set, bool `(N,)`.
        earlier: mask of the examples forgotten by earlier requests; default none.
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
        self._from_logits = not gives_probabilities(outputs_of.model)
        self._test = TestMeasures(outputs_of, federation.data, federation.attack)
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
                generator(federation.seed, "measured examples"),
            )
            for name, rows in parts.items()
        }
        union = np.unique(np.concatenate(list(chosen.values())))
        # one pass over all sets, each example once
        self._features = np.concatenate([federation.data.test_features, held.features[union]])
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
        """Return the metrics, None for those that are not finite or have no examples.

        Returns:
            The metrics of `TestMeasures`, `forget_accuracy`, `poisoned_accuracy` (on the examples
            of the forget set that the attack changed), `remain_accuracy`, `remain_loss`,
            `earlier_forget_accuracy` (if examples were forgotten earlier), `forget_test_accuracy`
            (on test examples of the classes without remaining examples) and `remain_test_accuracy`
            (on those of the remaining classes, if whole classes are forgotten).
        """
        outputs = self._outputs_of(self._features, weights)
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
