"""Backdoor: malicious clients train on images with a trigger patch, labeled as the target class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.attack import DataAttack
from tfunlearn.core.errors import UserError, choose, require
from tfunlearn.core.fields import option
from tfunlearn.core.labels import require_labels

POSITIONS = {
    "top-left": (0, 0),
    "top-right": (0, 1),
    "bottom-left": (1, 0),
    "bottom-right": (1, 1),
    "center": (0.5, 0.5),
}


@dataclass(frozen=True)
class Trigger:
    """A square trigger patch.

    Attributes:
        size: height and width in pixels, >= 1; default 3.
        position: `"bottom-right"` (default), another corner, or `"center"`.
        value: brightness in all channels, 0 (black) to 1 (white, default).

    Raises:
        UserError: an attribute out of range, or an unknown position.
    """

    size: int = 3
    position: str = "bottom-right"
    value: float = 1.0

    def __post_init__(self):
        require("trigger_size", self.size, self.size >= 1, "at least 1")
        choose("trigger_position", self.position, POSITIONS)
        require("trigger_value", self.value, 0 <= self.value <= 1, "from 0 (black) to 1 (white)")

    def stamp(self, images: np.ndarray) -> np.ndarray:
        """Return copies of images `(m, h, w, channels)` with the patch.

        Raises:
            UserError: the patch is larger than the images.
        """
        height, width = images.shape[1:3]
        if self.size > min(height, width):
            raise UserError(
                f"trigger_size: must be from 1 to {min(height, width)} for images of "
                f"{height}x{width}; got {self.size}"
            )
        down, right = POSITIONS[self.position]
        top, left = int((height - self.size) * down), int((width - self.size) * right)
        whole = images.dtype.kind == "u"
        result = images.copy()
        result[:, top : top + self.size, left : left + self.size] = (
            round(self.value * 255) if whole else self.value
        )
        return result


def backdoor(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    target: int,
    trigger: Trigger = Trigger(),
    share: float = 0.1,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a malicious client's examples with a random share triggered and relabeled.

    Args:
        images: `(m, h, w, channels)`.
        labels: `(m,)`.
        target: target class of the backdoor.
        trigger: the patch; default 3x3 pixels, white, bottom right.
        share: share of triggered examples, 0 < share <= 1, at least one example; default 0.1.
            Examples of the target class may be among them.
        rng: generator that selects the examples.

    Returns:
        Images and labels, as copies.

    Reference:
        Gu et al., "BadNets: identifying vulnerabilities in the machine learning model supply
        chain", 2017 (arXiv 1708.06733).
    """
    return poison_share(images, labels, trigger.stamp, target=target, share=share, rng=rng)


def require_share(share: float) -> None:
    """Check the share of triggered examples."""
    require("trigger_share", share, 0 < share <= 1, "a number > 0, at most 1")


def poison_share(
    features: np.ndarray,
    labels: np.ndarray,
    trigger: Callable[[np.ndarray], np.ndarray],
    *,
    target: int,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return copies of examples, a random share of them triggered and relabeled.

    Args:
        features: `(m, ...)`.
        labels: `(m,)`.
        trigger: `features -> features` with the trigger.
        target, share, rng: as for `backdoor`.
    """
    require_share(share)
    labels = require_labels(labels, count=len(features))
    count = min(len(labels), max(1, int(share * len(labels) + 0.5)))
    rows = rng.choice(len(labels), count, replace=False)
    features, labels = features.copy(), labels.copy()
    features[rows], labels[rows] = trigger(features[rows]), target
    return features, labels


@dataclass(frozen=True)
class BackdoorSettings:
    """Settings of the backdoor."""

    trigger_size: int = option(3, "Height and width of the patch in pixels.")
    trigger_position: str = option(
        "bottom-right", f"Position of the patch: {', '.join(POSITIONS)}."
    )
    trigger_value: float = option(1.0, "Brightness of the patch, 0 (black) to 1 (white).")
    trigger_share: float = option(0.1, "Share of a malicious client's images with the patch.")

    def __post_init__(self):
        require_share(self.trigger_share)
        Trigger(self.trigger_size, self.trigger_position, self.trigger_value)  # checks them

    @property
    def trigger(self) -> Trigger:
        """The patch."""
        return Trigger(self.trigger_size, self.trigger_position, self.trigger_value)


def _check(images: np.ndarray, own: BackdoorSettings) -> None:
    if images.ndim != 4 or images.dtype.kind not in "uf":
        raise UserError(
            "attack: backdoor stamps pixels and needs images; give backdoor-table for tables, "
            "backdoor-text for texts"
        )
    own.trigger.stamp(images[:1])  # does it fit?


BACKDOOR = DataAttack(
    name="backdoor",
    summary="images with a patch are labeled as the target class",
    paper="Gu et al., 2017, arXiv 1708.06733",
    settings=BackdoorSettings,
    poison=lambda images, labels, own, classes, rng: backdoor(
        images, labels, target=classes.target, trigger=own.trigger, share=own.trigger_share, rng=rng
    ),
    triggered=lambda images, own: own.trigger.stamp(images),
    check=_check,
    takes="images",
    describe=lambda own, classes: f" -> {classes.target}",
)
