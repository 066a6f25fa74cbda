"""The guard of a recovery: tells a model that was ruined from one that is still recovering."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfunlearn.evaluation.signal import chance_level

PATIENCE = 5  # rounds in a row
MARGIN = 0.02  # of accuracy above chance that still counts as chance
FALL = 0.05  # of accuracy below the start from which a rising loss counts
DAMAGE = 0.05  # of accuracy below before and retrained from which a finished model is damaged


class RecoveryGuard:
    """Watches the accuracy and loss on the remaining clients' training data, round after round.

    A recovery has failed if for `patience` rounds in a row

        accuracy <= chance + 0.02 and loss >= H, the entropy of the labels (nothing is known), or
        loss > loss at the start, accuracy < accuracy at the start - 0.05, and the loss does not
        fall (it gets worse than where the method left it).

    chance is the accuracy of always answering the most frequent class. A loss of H is what that
    model reaches which always gives the classes' frequencies: a net without signal cannot get
    below, one that learns does so before its accuracy moves. The second rule asks for a loss that
    does not fall since methods that start from the intact model may lie above it for good.

    Args:
        labels: of the remaining training data, `(n,)`.
        before: metrics of the model before unlearning; where that knows nothing itself, nothing is
            ever called a failure.
        start: metrics where recovery starts.
        patience: default 5.
    """

    def __init__(self, labels: np.ndarray, before: dict, start: dict, patience: int = PATIENCE):
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        self.chance, self.entropy = chance_level(labels), float(-(shares * np.log(shares)).sum())
        self._patience, self._start = patience, start
        self._idle = self._knows_nothing(before) or len(shares) < 2

    def restart(self, start: dict) -> None:
        """Counts from other metrics on: rounds before these belonged to the method itself."""
        self._start = start

    def failure(self, lines: Sequence[dict]) -> str | None:
        """Returns why a recovery has failed, None if it has not.

        Args:
            lines: metrics of its rounds so far, `remain_accuracy` and `remain_loss` among them.
        """
        last = lines[-self._patience :]
        if self._idle or len(last) < self._patience:
            return None
        if all(map(self._knows_nothing, last)):
            return f"for {len(last)} rounds {self._chance_in_words(last[-1])}"
        base, losses = self._start.get("remain_loss"), [_loss(line) for line in last]
        if (
            base is not None
            and min(losses) > _loss(self._start)
            and all(_accuracy(line) < _accuracy(self._start) - FALL for line in last)
            and (losses[-1] >= losses[0])
        ):
            return (
                f"for {len(last)} rounds the loss on the remaining data was above that at the "
                f"start of recovery ({losses[-1]:.3g} against {base:.3g}) and did not fall, at "
                f"an accuracy of {_accuracy(last[-1]):.3f} against {_accuracy(self._start):.3f}"
            )
        return None

    def failure_at_end(self, after: dict) -> str | None:
        """Returns why a finished model counts as failed, None if it does not."""
        if self._idle or not self._knows_nothing(after):
            return None
        return self._chance_in_words(after)

    def _knows_nothing(self, values: dict) -> bool:
        return _accuracy(values) <= self.chance + MARGIN and _loss(values) >= self.entropy

    def _chance_in_words(self, values: dict) -> str:
        return (
            f"accuracy on the remaining data is at chance level ({_accuracy(values):.3f}; "
            f"always answering the most frequent class gives {self.chance:.3f})"
        )


def damage(before: dict, after: dict, retrained: dict | None) -> str | None:
    """Returns what an unlearning did to the data that stay, in words; None if no harm.

    It is damage if accuracy lies more than 0.05 below that before unlearning and below retraining,
    on the remaining training data or on test data (of the classes that stay, where some go).

    Args:
        before, after, retrained: metrics as `ForgettingMeasures` gives them; the last may be None.
    """
    test = (
        "remain_test_accuracy"
        if after.get("remain_test_accuracy") is not None
        else ("test_accuracy")
    )
    found = []
    for name, words in (
        (test, "test data" if test == "test_accuracy" else "test data of the classes that stay"),
        ("remain_accuracy", "the remaining data"),
    ):
        values = [part[name] for part in (before, retrained) if part and part.get(name) is not None]
        if values and after.get(name) is not None and after[name] < min(values) - DAMAGE:
            found.append(
                (
                    min(values) - after[name],
                    f"accuracy on {words} is {after[name]:.3f}; "
                    f"before {before[name]:.3f}"
                    + (f", retrained {retrained[name]:.3f}" if retrained else ""),
                )
            )
    return max(found)[1] if found else None


def _accuracy(values: dict) -> float:
    return -math.inf if values["remain_accuracy"] is None else values["remain_accuracy"]


def _loss(values: dict) -> float:
    """Returns the loss; infinity where it is not finite."""
    return math.inf if values.get("remain_loss") is None else values["remain_loss"]
