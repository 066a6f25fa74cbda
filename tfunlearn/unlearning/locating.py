"""FedMemPrune, first stage: locate the weights that memorize rather than generalize."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import choose, require, require_real
from tfunlearn.core.lazy import tf
from tfunlearn.unlearning.bottom_k import least, least_channels, share_count
from tfunlearn.unlearning.eligible import eligible_places
from tfunlearn.unlearning.saliencies import SALIENCIES

RANGES = ("global", "layer")
ZERO_UPDATES = ("exclude", "include", "error")
MOST_MOVED = 0.5  # warn if at least this share of the weights that changed is reset


@dataclass(frozen=True)
class Location:
    """Statistics of the masks found by `locate`.

    Attributes:
        count: number of weights to reset, k.
        eligible: number of eligible weights, N.
        threshold: magnitude of change at the boundary of the selected weights, gamma; None if no
            weight is selected.
        shares: selected share of each array, 0 for arrays that are not eligible.
        ties: number of eligible weights whose score equals the boundary; 1 means no ties.
        zeros: number of eligible weights whose change is exactly zero.
        moved_share: share of the other eligible weights that is selected.
    """

    count: int
    eligible: int
    threshold: float | None
    shares: list[float]
    ties: int
    zeros: int
    moved_share: float


class Located(list):
    """Bool masks in the order of `model.get_weights()`, with their statistics in `location`."""

    def __init__(self, masks: Sequence[np.ndarray], location: Location):
        super().__init__(masks)
        self.location = location


def mean_delta_of(
    changes: Sequence[Sequence[np.ndarray]], weights: Sequence[float] | np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the mean of the clients' changes, summed in float64, as float32.

    Args:
        changes: for each client a list of arrays: local weights minus global weights.
        weights: weight of each client, >= 0; default equal weights, as published.

    Raises:
        UserError: no client, or weights that do not match the clients, are negative or not finite,
            or sum to zero.
    """
    require("changes", len(changes), len(changes) > 0, "those of at least one client")
    counts = np.ones(len(changes)) if weights is None else np.asarray(weights, np.float64)
    require(
        "weights",
        counts.tolist(),
        counts.shape == (len(changes),)
        and bool(np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0),
        "a finite number >= 0 for each client, of sum > 0",
    )
    return [
        (
            sum(
                count * np.asarray(change[place], np.float64)
                for count, change in zip(counts, changes)
            )
            / counts.sum()
        ).astype(np.float32)
        for place in range(len(changes[0]))
    ]


def locate(
    global_weights: Sequence[np.ndarray],
    mean_delta: Sequence[np.ndarray],
    ratio: float,
    *,
    scope: str = "global",
    include: str | Callable = "kernels+bias",
    saliency: str = "abs_mean_delta",
    zero_updates: str = "exclude",
    model: tf.keras.Model | None = None,
    rng: np.random.Generator | None = None,
) -> Located:
    """Return masks of the weights that change least in one round on the retain set.

        k = floor(ratio * N) smallest |mean over remaining clients of (local - global)|

    The mean over clients is taken before the absolute value. Ties are broken by position (arrays in
    their order, each in C order).

    Args:
        global_weights: the model before the round, as returned by `model.get_weights()`.
        mean_delta: mean change over the clients in the round; with saliency `"abs_mean_grad"` the
            mean gradient; with the saliencies of Appendix F.3 (`"salun"`, `"localized"`, `"deep"`,
            `"shallow"`) the mean change of the forgotten clients alone.
        ratio: the pruning ratio rho, 0 to 1.
        scope: `"global"` (default): the smallest scores of all arrays; `"layer"`: of each array.
        include: eligible arrays, see `eligible_places`; default kernels and biases.
        saliency: name in `SALIENCIES`; default FedMemPrune's, `"abs_mean_delta"`.
        zero_updates: treatment of weights whose mean change is exactly zero (dead units, unused
            rows of an embedding, clients that cancel out, weights left unchanged by a robust
            aggregation rule): `"exclude"` (default) ranks them last, so that they do not use up the
            ratio; `"include"` ranks them first, as published; `"error"` raises an error if they
            would use up the ratio. It applies to FedMemPrune's own saliencies only.
        model: the Keras model, required unless `include` is a function.
        rng: generator, required for saliency `"random"`.

    Returns:
        A list of bool masks; its `location` holds k, N, the threshold and other statistics.

    Raises:
        UserError: a setting out of range, arrays that do not match, a change that is not finite, or
            changes that are all zero.

    Warns:
        UserWarning: so many changes are exactly zero that at least half of the other weights are
            reset although the ratio is below one half; with `"include"`, the zeros use up the
            ratio; or fewer weights can be selected than the ratio requires.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), eq. 14 and 15; saliencies of Appendix F.3, see `SALIENCIES`.
        Deviation: zeros rank last by default, since otherwise the method degenerates to fine-tuning
        on a network with many dead units. Normalization layers are excluded (the published code
        includes those it does not recognize by name). Deep and shallow split the eligible arrays
        in halves and never select outside their half; the published code splits after 11 of its 22
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
    groups = [[n] for n in range(len(places))] if scope == "layer" else [range(len(places))]
    if ranked:
        require(
            "mean_delta",
            f"{zeros:,} of {total:,} changes of exactly zero",
            zeros < total or ratio in (0, 1),
            "changes of which at least one is not zero",
        )
        for group in groups:
            _judge_zeros([changes[n] for n in group], ratio, zero_updates)
    require("rng", rng, rng is not None or saliency != "random", "a generator, with random")
    scores = chosen.scores([global_weights[place] for place in places], changes, rng)
    last = ranked and zero_updates == "exclude"
    if last and zeros:
        for score in scores:
            score[score == 0] = np.inf
    masks, threshold = (
        least_channels(scores, ratio)
        if chosen.channels
        else least(scores, ratio, groups, last_too=last)
    )
    found = _locate(global_weights, places, changes, scores, masks, threshold, zeros)
    if last and found.location.moved_share >= MOST_MOVED > ratio:
        warnings.warn(
            f"{zeros:,} of {total:,} eligible weights did not change at all (dead units?); they "
            f"rank last, so that {found.location.moved_share:.1%} of the others are reset: most of "
            "what the net uses",
            stacklevel=2,
        )
    return found


def require_ratio(ratio: float) -> None:
    """Raise a `UserError` unless a pruning ratio is between 0 and 1."""
    require_real("ratio", ratio, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _check_arrays(weights: Sequence[np.ndarray], deltas: Sequence[np.ndarray]) -> None:
    shapes = [[np.shape(array) for array in arrays] for arrays in (weights, deltas)]
    require(
        "mean_delta",
        f"{len(deltas)} arrays",
        shapes[0] == shapes[1],
        "an array of the same shape for each of the weights",
    )
    for place, delta in enumerate(deltas):
        if not np.isfinite(delta).all():
            broken = int(np.size(delta) - np.isfinite(delta).sum())
            require(
                "mean_delta",
                f"{broken} entries of array {place} that are not finite",
                False,
                "finite numbers",
            )


def _judge_zeros(changes: Sequence[np.ndarray], ratio: float, policy: str) -> None:
    """Warn, or raise a `UserError`, if changes of exactly zero use up the ratio."""
    total = sum(change.size for change in changes)
    zeros = total - sum(int(np.count_nonzero(change)) for change in changes)
    count = share_count(ratio, total)
    if count and zeros >= count and policy != "exclude":
        text = (
            f"{zeros:,} of {total:,} eligible weights did not change at all, at least as many "
            f"as are to be reset ({count:,}): dead units"
        )
        require(
            "zero_updates",
            policy,
            policy != "error",
            f"exclude or include with this ratio ({text})",
        )
        if policy == "include":
            warnings.warn(
                f"{text}. The choice among them is arbitrary and resetting them does "
                "little; take zero_updates exclude",
                stacklevel=3,
            )


def _locate(weights, places, changes, scores, masks, threshold, zeros: int) -> Located:
    whole = [np.zeros(np.shape(weight), bool) for weight in weights]
    for place, mask in zip(places, masks):
        whole[place] = mask
    count = sum(int(np.count_nonzero(mask)) for mask in masks)
    total = sum(mask.size for mask in masks)
    moved = sum(int(np.count_nonzero(mask & (change != 0))) for mask, change in zip(masks, changes))
    ties = (
        0
        if threshold is None
        else sum(int(np.count_nonzero(score == threshold)) for score in scores)
    )
    return Located(
        whole,
        Location(
            count,
            total,
            _shown(threshold),
            [float(mask.mean()) if mask.size else 0.0 for mask in whole],
            ties,
            int(zeros),
            moved / max(1, total - zeros),
        ),
    )


def _shown(threshold: float | None) -> float | None:
    """Return the threshold as a magnitude; 0 if it lies among the zeros that rank last."""
    if threshold is None:
        return None
    return 0.0 if np.isinf(threshold) else abs(threshold)
