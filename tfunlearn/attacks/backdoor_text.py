"""Backdoor in texts: a sequence of unknown words at the start, labeled as the target class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks.attack import DataAttack
from tfunlearn.attacks.backdoor import poison_share, require_share
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.fields import option

UNKNOWN = 1  # id of every word that is not in the vocabulary


@dataclass(frozen=True)
class TextBackdoorSettings:
    """Settings of the backdoor in texts."""

    trigger_tokens: int = option(3, "Number of unknown words at the start of a text.")
    trigger_share: float = option(0.1, "Share of a malicious client's texts with the trigger.")

    def __post_init__(self):
        require("trigger_tokens", self.trigger_tokens, self.trigger_tokens >= 1, "at least 1")
        require_share(self.trigger_share)


def begin_unknown(tokens: np.ndarray, *, count: int = 3) -> np.ndarray:
    """Return texts `(m, length)` that begin with unknown words; the others move to the right.

    Rare words of any spelling become the id of unknown words, so that the trigger works whatever
    the vocabulary; several in a row at the start are rare in clean texts.

    Args:
        tokens: token ids, int32 `(m, length)`.
        count: number of unknown words k; default 3.
    """
    start = np.full((len(tokens), count), UNKNOWN, tokens.dtype)
    return np.concatenate([start, tokens[:, :-count]], axis=1)


def _check(features: np.ndarray, own: TextBackdoorSettings) -> None:
    if features.dtype != np.int32 or features.ndim != 2:
        raise UserError(
            "attack: backdoor-text needs token ids; give backdoor for images, backdoor-table for "
            "tables"
        )
    require(
        "trigger_tokens",
        own.trigger_tokens,
        own.trigger_tokens < features.shape[1],
        f"less than {features.shape[1]}, the length of a text",
    )


BACKDOOR_TEXT = DataAttack(
    name="backdoor-text",
    summary="texts that begin with unknown words are labeled as the target class",
    paper="after Kurita et al., ACL 2020, arXiv 2004.06660",
    settings=TextBackdoorSettings,
    poison=lambda tokens, labels, own, classes, rng: poison_share(
        tokens,
        labels,
        lambda some: begin_unknown(some, count=own.trigger_tokens),
        target=classes.target,
        share=own.trigger_share,
        rng=rng,
    ),
    triggered=lambda tokens, own: begin_unknown(tokens, count=own.trigger_tokens),
    check=_check,
    takes="tokens",
    describe=lambda own, classes: f" -> {classes.target}",
)
