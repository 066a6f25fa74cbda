"""Grouped Memorization Evaluation: accuracy on the forget set by degree of memorization.

Arrays in, numbers out: probabilities and hits may come from any source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require

EDGES = (0.05, 0.10, 0.15, 0.20)  # shares of the examples, the most memorized first
GROUPS = ("95-100", "90-95", "85-90", "80-85", "0-80")  # percentiles of the score
GRADINGS = ("leave-one-out", "disjoint")
TIES = ("rank", "reference")
FEWEST = 20  # with so many examples, the smallest group has one
LEAST_RETRAINED = 2  # so that one can grade in groups that it did not define


def memorization_scores(original: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """Return the memorization score of each example, `(n,)`, -1 to 1, not clipped.

        p(y | x; original) - mean over k of p(y | x; retrained k)

    Args:
        original: probability of the true label under the original model, `(n,)`.
        retrained: the same under models that were trained without these examples, `(K, n)`.

    Raises:
        UserError: shapes that do not match, or a value outside 0 to 1.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), eq. 11, after Feldman (STOC 2020, arXiv 1906.05271). Deviation: the
        published code clips at 0 and, by mistake, uses the last retrained model alone.
    """
    original, retrained = np.asarray(original, np.float64), np.asarray(retrained, np.float64)
    require(
        "retrained",
        retrained.shape,
        retrained.ndim == 2 and len(retrained) > 0 and retrained.shape[1:] == original.shape,
        f"of shape (K, {original.size}), K >= 1",
    )
    for name, values in (("original", original), ("retrained", retrained)):
        inside = (values >= -1e-6) & (values <= 1 + 1e-6)
        require(name, "values outside 0 to 1", bool(inside.all()), "probabilities")
    return original - retrained.mean(axis=0)


def assign_groups(
    scores: np.ndarray, edges: Sequence[float] = EDGES, *, ties: str = "rank"
) -> np.ndarray:
    """Return the group of each example, int `(n,)`: 0 is the most memorized.

    Args:
        scores: memorization scores, `(n,)`.
        edges: increasing shares of the examples, counted from the highest score; default 0.05,
            0.10, 0.15, 0.20.
        ties: `"rank"` (default): groups by rank, split at round(n * edge), ties broken by position,
            so that the groups always partition the examples; `"reference"`: groups between
            percentiles of the scores clipped at 0, as published; -1 marks examples in no group.

    Raises:
        UserError: scores that are not finite, edges that are not increasing within 0 to 1, or an
            unknown value of `ties`.
    """
    scores = np.asarray(scores, np.float64)
    require(
        "scores", "entries that are not finite", bool(np.isfinite(scores).all()), "finite numbers"
    )
    require(
        "edges",
        tuple(edges),
        bool(len(edges)) and all(low < high for low, high in zip((0, *edges), (*edges, 1))),
        "increasing fractions between 0 and 1",
    )
    require("ties", ties, ties in TIES, " or ".join(TIES))
    if ties == "reference":
        return _between_percentiles(np.clip(scores, 0, None), edges)
    ranks = np.empty(len(scores), int)
    ranks[np.lexsort((np.arange(len(scores)), -scores))] = np.arange(len(scores))
    bounds = [round(len(scores) * edge) for edge in edges]
    return np.searchsorted(bounds, ranks, side="right")


def _between_percentiles(scores: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    levels = np.percentile(scores, [100 * (1 - edge) for edge in (0, *edges, 1)])
    groups = np.full(len(scores), -1)
    for number, (upper, lower) in enumerate(zip(levels[:-1], levels[1:])):
        groups[(lower < scores) & (scores <= upper)] = number
    return groups


def grouped_metric(values: np.ndarray, groups: np.ndarray, count: int = len(GROUPS)) -> np.ndarray:
    """Return the mean of a metric in each group, `(..., count)`; NaN for an empty group.

    Args:
        values: metric of each example, `(n,)`, or `(M, n)` for M models.
        groups: `(n,)`, as returned by `assign_groups`.
        count: number of groups; default 5.
    """
    values = np.asarray(values, np.float64)
    return np.stack(
        [
            values[..., groups == number].mean(axis=-1)
            if (groups == number).any()
            else np.full(values.shape[:-1], np.nan)
            for number in range(count)
        ],
        axis=-1,
    )


@dataclass(frozen=True)
class GroupRow:
    """One row of a report: the models of one method, the original model, or the retrained models.

    Attributes:
        mean: accuracy in each group and, last, on all examples, `(groups + 1,)`.
        spread: standard deviation over the models (ddof 0), of the same shape.
        gap: absolute difference from the mean of the retrained models, of the same shape.
        models: number of models.
    """

    mean: np.ndarray
    spread: np.ndarray
    gap: np.ndarray
    models: int


@dataclass(frozen=True)
class GmeReport:
    """Result of a Grouped Memorization Evaluation.

    Attributes:
        rows: name to `GroupRow`: `original`, every method, `retrained`.
        sizes: number of examples in each group.
        scores: memorization score of each example, from all scoring models, `(n,)`.
        groups: group of each example by these scores, `(n,)`.
        grading: `"leave-one-out"`, `"disjoint"` or `"scores given"`.
        graders: number of retrained models that grade, that is, are the reference for the gap.
        scorers: number of retrained models that define each score, 0 if scores were given.
    """

    rows: dict[str, GroupRow]
    sizes: list[int]
    scores: np.ndarray
    groups: np.ndarray
    grading: str
    graders: int
    scorers: int


def gme_report(
    original: np.ndarray,
    retrained: np.ndarray,
    hits: Mapping[str, np.ndarray],
    hits_original: np.ndarray,
    hits_retrained: np.ndarray,
    *,
    grading: str = "leave-one-out",
    scores: np.ndarray | None = None,
    ties: str = "rank",
) -> GmeReport:
    """Compare methods with retraining, group by group.

    No retrained model grades (is the reference) in groups that it defined. With `"leave-one-out"`,
    model k grades in groups defined by the other K - 1 models, and all other rows are averaged over
    these K groupings. With `"disjoint"`, the first half of the models (rounded up) defines the
    scores and the other half grades. With external `scores`, all K models grade.

    Args:
        original: probability of the true label under the original model, `(n,)`.
        retrained: the same under the retrained models, `(K, n)`.
        hits: method to hits (bool, or any other per-example metric) of its models, `(M, n)`.
        hits_original: hits of the original model, `(n,)`.
        hits_retrained: hits of the retrained models, `(K, n)`.
        grading: `"leave-one-out"` (default) or `"disjoint"`.
        scores: external scores that replace those by retraining, `(n,)`; they must not depend on
            the retrained models of this call.
        ties: see `assign_groups`; default `"rank"`.

    Raises:
        UserError: fewer than 2 retrained models, fewer than 20 examples, or an unknown grading.

    Reference:
        Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization" (KDD 2026,
        arXiv 2605.24545), eq. 11 to 13. Deviation: there, the same retrained models define the
        scores and grade, which makes retraining look worse in the top groups than it is.
    """
    require("grading", grading, grading in GRADINGS, " or ".join(GRADINGS))
    require(
        "retrained",
        f"{len(retrained)} models",
        len(retrained) >= LEAST_RETRAINED,
        f"at least {LEAST_RETRAINED}, since no model may grade the groups it has made",
    )
    require_groups(len(original))
    known = {
        "original": np.atleast_2d(hits_original),
        **{name: np.atleast_2d(values) for name, values in hits.items()},
    }
    groupings = _groupings(original, retrained, grading, scores, ties)
    graded = np.concatenate(
        [_with_all(hits_retrained[graders], groups) for groups, graders in groupings]
    )
    rows = {
        name: _row(np.mean([_with_all(values, groups) for groups, _ in groupings], axis=0), graded)
        for name, values in known.items()
    }
    rows["retrained"] = _row(graded, graded)
    if scores is None:
        graders = [n for _, chosen in groupings for n in chosen]
        scorers = len(retrained) - (1 if grading == "leave-one-out" else len(graders))
        judges = retrained if grading == "leave-one-out" else np.delete(retrained, graders, axis=0)
        shown = memorization_scores(original, judges)
    else:
        scorers, shown, grading = 0, np.asarray(scores, np.float64), "scores given"
    groups = assign_groups(shown, ties=ties)
    return GmeReport(
        rows,
        [int((groups == n).sum()) for n in range(len(GROUPS))],
        shown,
        groups,
        grading,
        len(graded),
        scorers,
    )


def require_groups(examples: int) -> None:
    """Raise a `UserError` for fewer than 20 examples, naming the groups that are too small."""
    sizes = np.bincount(assign_groups(np.zeros(examples)), minlength=len(GROUPS))
    small = ", ".join(f"{name} ({size})" for name, size in zip(GROUPS, sizes) if size < 1) or (
        f"{GROUPS[0]} ({sizes[0]})"
    )
    require(
        "forget",
        f"a request of {examples} examples, whose groups are too small: {small}",
        examples >= FEWEST,
        f"at least {FEWEST} examples",
    )


def _groupings(original, retrained, grading: str, scores, ties: str) -> list:
    """Return pairs of groups `(n,)` and the indices of the retrained models that grade in them."""
    every = list(range(len(retrained)))
    if scores is not None:
        return [(assign_groups(scores, ties=ties), every)]
    if grading == "disjoint":
        judges = (len(every) + 1) // 2
        return [
            (
                assign_groups(memorization_scores(original, retrained[:judges]), ties=ties),
                every[judges:],
            )
        ]
    return [
        (
            assign_groups(
                memorization_scores(original, np.delete(retrained, k, axis=0)), ties=ties
            ),
            [k],
        )
        for k in every
    ]


def _with_all(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the metric of each group and of all examples, `(M, groups + 1)`."""
    values = np.asarray(values, np.float64)
    return np.concatenate([grouped_metric(values, groups), values.mean(axis=1)[:, None]], axis=1)


def _row(values: np.ndarray, graded: np.ndarray) -> GroupRow:
    mean = values.mean(axis=0)
    return GroupRow(mean, values.std(axis=0), np.abs(mean - graded.mean(axis=0)), len(values))
