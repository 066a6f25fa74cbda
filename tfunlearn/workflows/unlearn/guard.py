"""Recovery guard: distinguishes a ruined model from one that is still recovering."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfunlearn.evaluation.signal import chance_level

PATIENCE = 5  # consecutive rounds
LEARNED = 0.8  # share of H below which a loss shows that something was learned
MARGIN = 0.02  # accuracy above chance that still counts as chance
FALL = 0.05  # drop of accuracy below the start from which a rising loss counts
REMEMBERED = 0.1  # difference in accuracy on the forget set from which forgetting shows
DAMAGE = 0.05  # drop of accuracy below before and retrained that counts as damage


class RecoveryGuard:
    """Monitor of accuracy and loss on the retain set, round by round.

    A recovery has failed if for `patience` rounds in a row
        accuracy <= chance + 0.02 and loss >= H, the entropy of the labels (chance level), or
        loss > loss at the start, accuracy < accuracy at the start - 0.05, and the loss does not
            fall (worse than at the start of recovery).
    chance is the accuracy of always predicting the most frequent class. H is the loss of always
    predicting the class frequencies: a network without signal cannot get below it, and one that
    learns does so before its accuracy rises. The second rule requires a loss that does not fall,
    since methods that start from the intact model may stay above its loss.

    Args:
        labels: labels of the retained training data, `(n,)`.
        before: metrics of the model before unlearning; if that has learned nearly nothing (accuracy
            at chance level, loss above 0.8 H), nothing counts as a failure.
        start: metrics at the start of recovery.
        patience: number of rounds in a row; default 5.
    """

    def __init__(self, labels: np.ndarray, before: dict, start: dict, patience: int = PATIENCE):
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        self.chance, self.entropy = chance_level(labels), float(-(shares * np.log(shares)).sum())
        self._patience, self._start = patience, start
        self.untrained = len(shares) > 1 and (
            _accuracy(before) <= self.chance + MARGIN and _loss(before) >= LEARNED * self.entropy
        )
        self._idle = self.untrained or len(shares) < 2

    def restart(self, start: dict) -> None:
        """Restart from other metrics: the rounds before them belong to the method's own step."""
        self._start = start

    def failure(self, lines: Sequence[dict]) -> str | None:
        """Return why a recovery has failed, None if it has not.

        Args:
            lines: metrics of its rounds so far, including `remain_accuracy` and `remain_loss`.
        """
        last = lines[-self._patience :]
        if self._idle or len(last) < self._patience:
            return None
        if all(map(self._knows_nothing, last)):
            return f"for {len(last)} rounds {self.chance_in_words(last[-1])}"
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
        """Return why a finished model counts as failed, None if it does not."""
        if self._idle or not self._knows_nothing(after):
            return None
        return self.chance_in_words(after)

    def _knows_nothing(self, values: dict) -> bool:
        return _accuracy(values) <= self.chance + MARGIN and _loss(values) >= self.entropy

    def chance_in_words(self, values: dict) -> str:
        """Return in words that a model is at chance level."""
        return (
            f"accuracy on the remaining data is at chance level ({_accuracy(values):.3f}; "
            f"always answering the most frequent class gives {self.chance:.3f})"
        )


def damage(before: dict, after: dict, retrained: dict | None) -> str | None:
    """Return a description of the damage to the retained data, None if there is none.

    A model is damaged if its accuracy is more than 0.05 below both that before unlearning and that
    of retraining, on the retained training data or on test data (of the remaining classes, if
    classes are forgotten).

    Args:
        before, after, retrained: metrics of `ForgettingMeasures`; `retrained` may be None.
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


def remembered(before: dict, after: dict, retrained: dict | None) -> str | None:
    """Return a description of a forget set on which little has changed, None if there is none.

    It is one on which the accuracy differs by more than 0.1 from retraining before unlearning, and
    by more than half of that difference after it.

    Args:
        before, after, retrained: metrics of `ForgettingMeasures`; `retrained` may be None.
    """
    name = "forget_accuracy"
    if retrained is None or any(part.get(name) is None for part in (before, after, retrained)):
        return None
    gap = before[name] - retrained[name]
    if abs(gap) <= REMEMBERED or (after[name] - retrained[name]) / gap <= 0.5:
        return None
    return (
        f"accuracy on the forget set is {after[name]:.3f}; before {before[name]:.3f}, retrained "
        f"{retrained[name]:.3f}: more than half of the difference remains; more recovery rounds, "
        "or another --method, may close it"
    )


def _accuracy(values: dict) -> float:
    return -math.inf if values["remain_accuracy"] is None else values["remain_accuracy"]


def _loss(values: dict) -> float:
    """Return the loss; infinity if it is not finite."""
    return math.inf if values.get("remain_loss") is None else values["remain_loss"]
