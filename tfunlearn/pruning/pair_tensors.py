"""Pair pruning by saliency on a list of arrays or tensors, for use inside traced TensorFlow.

The same choice as `prune_pairs(model, score="saliency")`, in an array namespace `xp`.
"""

from __future__ import annotations

import numpy as np

from tfunlearn.pruning.counting import cast, most_lost, pair_count_of, zero_entries
from tfunlearn.pruning.records import Pair, PairRecord
from tfunlearn.pruning.sites import Site

_PAIRS = ("kept", "removed", "saliency")
PAIR_DECISION = {"kept": np.int64, "removed": np.int64, "saliency": np.float64, "allowed": np.bool_}


def prune_pair_site(
    weights: list,
    site: Site,
    fraction: float,
    *,
    zero_incoming: bool = True,
    limit: float | None = None,
    xp=np,
) -> tuple[list, dict]:
    """Prune one layer in a list of weights, in the array namespace `xp`.

    Returns:
        The new list, and the decision (`PAIR_DECISION`, each `(k,)`): the pairs in order, and
        whether the limit allows them; the saliency is infinite where no pair was left. Empty if
        skipped.
    """
    if site.skipped:
        return weights, {}
    bias = None if site.bias is None else weights[site.bias]
    outgoing = xp.concatenate([weights[entry] for entry in site.outgoing], axis=1)
    kept, removed, saliency = choose_pairs(
        pair_saliency(weights[site.kernel], bias, outgoing, xp=xp),
        pair_count_of(site.units, fraction),
        xp=xp,
    )
    lost = xp.sum(cast(dead_units(weights[site.kernel], bias, outgoing, xp=xp), np.int64, xp))
    allowed = np.arange(int(saliency.shape[0])) < np.int64(most_lost(site.units, limit)) - lost
    found = xp.logical_and(xp.isfinite(saliency), allowed)
    gone, heirs = (_one_hot(part, found, site.units, xp) for part in (removed, kept))
    new = list(weights)
    for entry in site.outgoing:
        rows = new[entry]
        taken = xp.matmul(cast(gone, np.float32, xp), rows)
        moved = xp.matmul(xp.transpose(cast(heirs, np.float32, xp)), taken)
        new[entry] = xp.where(xp.any(gone, axis=0)[:, None], xp.zeros_like(rows), rows + moved)
    if zero_incoming:
        entries = [site.kernel, *site.followers, *([] if site.bias is None else [site.bias])]
        new = zero_entries(new, entries, xp.any(gone, axis=0), xp)
    return new, dict(kept=kept, removed=removed, saliency=saliency, allowed=allowed)


def pair_saliency(kernel, bias, outgoing, *, xp=np):
    """Return `S` `(n, n)` float64: S[i, j] is the cost of removing j and keeping i.

    The diagonal and every pair with a dead unit are infinite.

    Args:
        kernel: incoming weights `(..., n)`.
        bias: `(n,)`, or None.
        outgoing: outgoing weights `(n, m)`.
        xp: NumPy (default) or `tf.experimental.numpy`.
    """
    outgoing_norm = xp.sqrt(xp.sum(cast(outgoing, np.float64, xp) ** 2, axis=1))
    columns = cast(kernel, np.float64, xp)
    units = int(columns.shape[-1])
    columns = xp.transpose(xp.reshape(columns, (-1, units)))
    dead = dead_units(kernel, bias, outgoing, xp=xp)
    centred = columns - xp.mean(columns, axis=0)
    squares = xp.sum(centred**2, axis=1)
    distance = xp.sqrt(
        xp.maximum(
            squares[:, None] + squares[None, :] - 2 * xp.matmul(centred, xp.transpose(centred)),
            np.float64(0),
        )
    )
    if bias is not None:
        b = cast(bias, np.float64, xp)
        total = xp.abs(b[:, None] + b[None, :])
        ratio = xp.abs(b[:, None] - b[None, :]) / xp.where(xp.equal(total, 0), np.float64(1), total)
        distance = distance + xp.where(xp.equal(total, 0), np.float64(0), ratio)
    excluded = xp.logical_or(dead[:, None], dead[None, :])
    excluded = xp.logical_or(excluded, xp.asarray(np.eye(units, dtype=bool)))
    return xp.where(excluded, np.float64(np.inf), distance * outgoing_norm[None, :])


def dead_units(kernel, bias, outgoing, *, xp=np):
    """Return a mask `(n,)` of units without outgoing weights, or without incoming ones and bias."""
    units = int(kernel.shape[-1])
    columns = xp.transpose(xp.reshape(kernel, (-1, units)))
    silent = xp.all(xp.equal(columns, 0), axis=1)
    if bias is not None:
        silent = xp.logical_and(silent, xp.equal(bias, 0))
    return xp.logical_or(xp.all(xp.equal(outgoing, 0), axis=1), silent)


def choose_pairs(saliency, count: int, *, xp=np):
    """Return `kept`, `removed` and saliency `(count,)` of the cheapest disjoint pairs.

    Ties are broken by the lower removed unit, then by the lower kept unit. If fewer than `count`
    pairs exist, the last saliencies are infinite.
    """
    if not count:
        return tuple(xp.zeros((0,), PAIR_DECISION[name]) for name in _PAIRS)
    units = int(saliency.shape[0])
    numbers = np.arange(units)
    cost = xp.transpose(saliency)
    picks = []
    for _ in range(count):
        best = cast(xp.argmin(xp.reshape(cost, (-1,))), np.int64, xp)
        removed, kept = best // units, best % units
        picks.append((kept, removed, xp.min(cost)))
        used = xp.logical_or(xp.equal(kept, numbers), xp.equal(removed, numbers))
        cost = xp.where(xp.logical_or(used[:, None], used[None, :]), np.float64(np.inf), cost)
    return tuple(xp.stack(column) for column in zip(*picks))


def pair_record(site: Site, decision: dict) -> PairRecord:
    """Return the record of a decision of `prune_pair_site`."""
    if site.skipped:
        return PairRecord(site.layer, site.units, skipped=site.skipped)
    columns = (np.asarray(decision[name]) for name in (*_PAIRS, "allowed"))
    pairs = [
        Pair(int(kept), int(removed), float(saliency), score=float(saliency), chosen=bool(allowed))
        for kept, removed, saliency, allowed in zip(*columns)
        if np.isfinite(saliency)
    ]
    return PairRecord(
        site.layer,
        site.units,
        tuple(pairs),
        score="saliency",
        spared=sum(not pair.chosen for pair in pairs),
    )


def _one_hot(units_of_pairs, found, units: int, xp):
    """Return a mask `(k, units)` of the unit named by each pair; all False for a missing pair."""
    named = xp.equal(units_of_pairs[:, None], np.arange(units)[None, :])
    return xp.logical_and(named, found[:, None])
