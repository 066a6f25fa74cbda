"""Distributed backdoor attack (DBA): each malicious client trains with a part of the trigger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.attack import DataAttack
from tfunlearn.attacks.backdoor import BACKDOOR, BackdoorSettings, Trigger, poison_share
from tfunlearn.core.errors import require

PARTS = 4


def dba(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    target: int,
    part: int,
    trigger: Trigger = Trigger(),
    share: float = 0.1,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a malicious client's examples, a share of them with a quarter of the trigger.

    Args:
        images: `(m, h, w, channels)`.
        labels: `(m,)`.
        target: target class of the backdoor.
        part: quarter of the patch, by number modulo 4: top left, top right, bottom left, right.
        trigger: the whole patch, which success is measured with; default 3x3 pixels,
            of which the quarters have 4, 2, 2 and 1.
        share, rng: as for `backdoor`.

    Returns:
        Images and labels, as copies.

    Reference:
        Xie et al., "DBA: distributed backdoor attacks against federated learning", ICLR 2020.
        Deviation: the paper's four parts are bars with gaps; here they are the patch's quarters.
    """
    return poison_share(
        images,
        labels,
        lambda some: stamp_part(some, trigger, part),
        target=target,
        share=share,
        rng=rng,
    )


def stamp_part(images: np.ndarray, trigger: Trigger, part: int) -> np.ndarray:
    """Return copies of images with one quarter of the patch."""
    whole = trigger.stamp(images)
    blank = np.zeros((1, *images.shape[1:3], 1), np.uint8)
    place = Trigger(trigger.size, trigger.position).stamp(blank)[0, ..., 0] > 0
    rows, columns = np.flatnonzero(place.any(axis=1)), np.flatnonzero(place.any(axis=0))
    half = (trigger.size + 1) // 2
    down, right = divmod(part % PARTS, 2)
    rows = rows[half:] if down else rows[:half]
    columns = columns[half:] if right else columns[:half]
    result = images.copy()
    place = np.ix_(np.arange(len(images)), rows, columns)
    result[place] = whole[place]
    return result


@dataclass(frozen=True)
class DBASettings(BackdoorSettings):
    """Settings of the distributed backdoor."""

    def __post_init__(self):
        super().__post_init__()
        require("trigger_size", self.trigger_size, self.trigger_size >= 2, "at least 2 with dba")


DBA = DataAttack(
    name="dba",
    summary="malicious clients stamp a quarter of the patch each; the whole one is the backdoor",
    paper="Xie et al., ICLR 2020",
    settings=DBASettings,
    poison=lambda images, labels, own, classes, rng, attacker=0: dba(
        images,
        labels,
        target=classes.target,
        part=attacker,
        trigger=own.trigger,
        share=own.trigger_share,
        rng=rng,
    ),
    takes_number=True,
    triggered=lambda images, own: own.trigger.stamp(images),
    check=BACKDOOR.check,
    takes="images",
    describe=BACKDOOR.describe,
)
