"""FedMemPrune's first stage: which weights memorise rather than generalise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import choose, require, require_real
from tfunlearn.core.lazy import tf
from tfunlearn.unlearning.eligible import eligible_places
from tfunlearn.unlearning.saliencies import SALIENCIES

RANGES = ("global", "layer")
ZERO_UPDATES = ("exclude", "include", "error")
MANY_ZEROS = 0.01  # share of the eligible weights from which zeros are worth a warning


@dataclass(frozen=True)
class Location:
    """What `locate` found, beside the masks.

    Attributes:
        count: weights that are to be reset, k.
        eligible: weights that may be, N.
        threshold: largest score among those chosen (of all arrays), gamma; None without any.
        shares: share of each array that is chosen, 0 where nothing is eligible.
        ties: eligible weights whose score is exactly gamma; 1 means that nothing was tied.
        zeros: eligible weights whose change is exactly zero.
        moved_share: share of the other eligible weights that is chosen.
    """

    count: int
    eligible: int
    threshold: float | None
    shares: list[float]
    ties: int
    zeros: int
    moved_share: float


class Located(list):
    """Bool masks in the order of `model.get_weights()`, with a `location` that describes them."""

    def __init__(self, masks: Sequence[np.ndarray], location: Location):
        super().__init__(masks)
        self.location = location


def mean_delta_of(
    changes: Sequence[Sequence[np.ndarray]], weights: Sequence[float] | None = None
) -> list[np.ndarray]:
    """Returns the mean of the clients' changes, summed in float64.

    Args:
        changes: for each client a list of arrays: local weights minus global weights.
        weights: how much each client counts; default all the same, as published.
    """
    require("changes", len(changes), len(changes) > 0, "those of at least one client")
    counts = np.ones(len(changes)) if weights is None else np.asarray(weights, np.float64)
    return [sum(count * np.asarray(change[place], np.float64)
                for count, change in zip(counts, changes)) / counts.sum()
            for place in range(len(changes[0]))]


def locate(
    global_weights: Sequence[np.ndarray], mean_delta: Sequence[np.ndarray], ratio: float, *,
    scope: str = "global", include: str | Callable = "kernels+bias",
    saliency: str = "abs_mean_delta", zero_updates: str = "exclude",
    model: tf.keras.Model | None = None, rng: np.random.Generator | None = None,
) -> Located:
    """Returns masks of the weights that one round on the remaining data moves least.

        k = floor(ratio * N) smallest |mean over remaining clients of (local - global)|

    The mean over clients comes first, the absolute value after it. Among equal scores those that
    come first are chosen (arrays in their order, each in C order).

    Args:
        global_weights: the model before the round, as `model.get_weights()` gives it.
        mean_delta: what the round changed, the mean over the clients; with saliency
            `"abs_mean_grad"` the mean gradient; with those of Appendix F.3 (`"salun"`,
            `"localized"`, `"deep"`, `"shallow"`) the mean change of the forgotten clients alone.
        ratio: the pruning ratio rho, 0 to 1.
        scope: `"global"` (default): the smallest of all; `"layer"`: of each array.
        include: which arrays, see `eligible_places`; default kernels and biases.
        saliency: name in `SALIENCIES`; default FedMemPrune's.
        zero_updates: weights whose change is exactly zero (dead units, rows of an embedding that
            nobody used) rank last, so that they do not use up the ratio (`"exclude"`, default), or
            first like any other (`"include"`, as published), or stop everything if they would
            fill the ratio (`"error"`). Only FedMemPrune's own saliencies have them.
        model: the Keras model, needed unless `include` is a function.
        rng: for saliency `"random"`.

    Returns:
        A list of bool masks; its `location` tells k, N, the threshold and what else is worth
        knowing.

    Raises:
        UserError: a setting out of range, arrays that do not fit, or a change that is not finite.

    Warns:
        UserWarning: many changes are exactly zero, or fewer weights could be chosen than asked.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), eq. 14 and 15; saliencies of Appendix F.3, see `SALIENCIES`.
        Deviation: zeros rank last by default, since else the method degenerates to fine-tuning on
        a net with many dead units. Normalisation layers are left out (the published code takes
        them where their name does not give them away). Deep and shallow split the eligible arrays
        in halves and never choose outside theirs; the published code splits after 11 of its 22
        arrays and fills up with arbitrary weights.
    """
    chosen = choose("saliency", saliency, SALIENCIES)
    require("scope", scope, scope in RANGES, " or ".join(RANGES))
    require("zero_updates", zero_updates, zero_updates in ZERO_UPDATES, ", ".join(ZERO_UPDATES))
    require_ratio(ratio)
    _check_arrays(global_weights, mean_delta)
    places = eligible_places(global_weights, include, model=model)
    changes = [mean_delta[place] for place in places]
    zeros = sum(change.size - np.count_nonzero(change) for change in changes)
    total = sum(change.size for change in changes)
    ranked = chosen.of in ("remaining", "gradient")
    if ranked:
        _judge_zeros(zeros, total, int(ratio * total + 1e-9), zero_updates)
    scores = chosen.scores([global_weights[place] for place in places], changes, rng)
    if ranked and zero_updates == "exclude" and zeros:
        for score in scores:
            score[score == 0] = np.inf
    masks, threshold = _least(scores, ratio, scope, chosen.channels,
                              last_too=ranked and zero_updates == "exclude")
    return _located(global_weights, places, changes, scores, masks, threshold, zeros)


def require_ratio(ratio: float) -> None:
    """Raises a `UserError` unless a pruning ratio is 0 to 1."""
    require_real("ratio", ratio, lambda value: 0 <= value <= 1, "0 to 1")


def _check_arrays(weights: Sequence[np.ndarray], deltas: Sequence[np.ndarray]) -> None:
    shapes = [[np.shape(array) for array in arrays] for arrays in (weights, deltas)]
    require("mean_delta", f"{len(deltas)} arrays", shapes[0] == shapes[1],
            "an array of the same shape for each of the weights")
    for place, delta in enumerate(deltas):
        if not np.isfinite(delta).all():
            broken = int(np.size(delta) - np.isfinite(delta).sum())
            require("mean_delta", f"{broken} entries of array {place} that are not finite", False,
                    "finite numbers")


def _judge_zeros(zeros: int, total: int, count: int, policy: str) -> None:
    """Warns of changes that are exactly zero, or refuses them."""
    if count and zeros >= count:
        text = (f"{zeros:,} of {total:,} eligible weights did not change at all, at least as many "
                f"as are to be reset ({count:,}): dead units")
        require("zero_updates", text, policy != "error",
                "fewer; take another ratio, or zero_updates exclude")
        if policy == "include":
            warnings.warn(f"{text}. The choice among them is arbitrary and resetting them does "
                          "little; take zero_updates exclude", stacklevel=3)
    if policy == "exclude" and zeros > MANY_ZEROS * total and 0 < count < total:
        warnings.warn(
            f"{zeros:,} of {total:,} eligible weights did not change at all (dead units?); they "
            f"rank last, so that {min(1.0, count / max(1, total - zeros)):.1%} of the others are "
            "reset", stacklevel=3)


def _least(
    scores: list[np.ndarray], ratio: float, scope: str, channels: bool, *, last_too: bool
) -> tuple[list[np.ndarray], float | None]:
    """Returns masks of the smallest scores and the largest among them."""
    if channels:
        return _least_channels(scores, ratio)
    groups = [[n] for n in range(len(scores))] if scope == "layer" else [range(len(scores))]
    masks, thresholds = [None] * len(scores), []
    for group in groups:
        part = [scores[n] for n in group]
        count = int(ratio * sum(score.size for score in part) + 1e-9)
        flat = np.concatenate([score.reshape(-1) for score in part])
        if not last_too:  # what has a score of infinity is never chosen
            able = int(np.isfinite(flat).sum())
            if count > able:
                warnings.warn(f"{able:,} weights can be chosen, fewer than the ratio asks for "
                              f"({count:,}); all of these are", stacklevel=4)
            count = min(count, able)
        found, threshold = _smallest(part, flat, count)
        for n, mask in zip(group, found):
            masks[n] = mask
        thresholds += [threshold] if count else []
    return masks, max(thresholds, default=None)


def _smallest(
    scores: list[np.ndarray], flat: np.ndarray, count: int
) -> tuple[list[np.ndarray], float]:
    """Returns masks of the `count` smallest scores, the first ones among equals; changes `flat`."""
    if count == 0:
        return [np.zeros(score.shape, bool) for score in scores], -np.inf
    flat.partition(count - 1)
    threshold = flat[count - 1]
    masks = [score < threshold for score in scores]
    missing = count - sum(int(np.count_nonzero(mask)) for mask in masks)
    for score, mask in zip(scores, masks):
        if not missing:
            break
        tied = np.flatnonzero(score.reshape(-1) == threshold)[:missing]
        mask.reshape(-1)[tied] = True
        missing -= len(tied)
    return masks, float(threshold)


def _least_channels(scores: list[np.ndarray], ratio: float):
    """Returns masks of the floor(ratio * channels) channels of least score of each kernel."""
    masks, thresholds = [], []
    for score in scores:
        mask = np.zeros(score.shape, bool)
        if score.ndim >= 2:
            channel = score.reshape(-1, score.shape[-1])[0]
            count = int(ratio * len(channel) + 1e-9)
            chosen = np.argsort(channel, kind="stable")[:count]
            mask[..., chosen] = True
            thresholds += [float(channel[chosen[-1]])] if count else []
        masks.append(mask)
    return masks, max(thresholds, default=None)


def _located(weights, places, changes, scores, masks, threshold, zeros: int) -> Located:
    whole = [np.zeros(np.shape(weight), bool) for weight in weights]
    for place, mask in zip(places, masks):
        whole[place] = mask
    count = sum(int(np.count_nonzero(mask)) for mask in masks)
    total = sum(mask.size for mask in masks)
    moved = sum(int(np.count_nonzero(mask & (change != 0)))
                for mask, change in zip(masks, changes))
    ties = 0 if threshold is None else sum(
        int(np.count_nonzero(score == threshold)) for score in scores)
    return Located(whole, Location(
        count, total, _shown(threshold), [float(mask.mean()) if mask.size else 0.0
                                          for mask in whole],
        ties, int(zeros), moved / max(1, total - zeros)))


def _shown(threshold: float | None) -> float | None:
    """Returns the threshold; zero where it lies among the zeros that rank last."""
    return 0.0 if threshold is not None and np.isinf(threshold) else threshold
