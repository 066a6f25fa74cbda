"""Geometric median by the smoothed Weiszfeld algorithm."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.left_out import spread, without
from tfunlearn.aggregation.mean import weighted_mean
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack, shares_of
from tfunlearn.core.errors import require_real, require_whole
from tfunlearn.core.fields import option

MOST_PASSES = 1000


def geometric_median(
    updates,
    *,
    weights=None,
    nu: float = 1e-6,
    tolerance: float = 1e-6,
    passes: int | None = None,
):
    """Return the point with the smallest weighted sum of distances to the rows.

        argmin_z sum_i a_i ||z - x_i||;   z <- sum_i b_i x_i / sum_i b_i,
        b_i = a_i / max(nu, ||z - x_i||), starting from the weighted mean

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
            The result tolerates malicious rows of less than half the total weight.
        weights: `(n,)`, >= 0; default equal.
        nu: smoothing, the lower bound on distances, > 0; default 1e-6.
        tolerance: stop when an iteration moves z by at most this fraction of the median distance
            between z and the rows, 0 < tolerance < 1; default 1e-6.
        passes: fixed number of iterations, >= 1; default None: iterate until `tolerance`, at most
            1,000 times.

    Returns:
        float32 `(d,)`.

    Raises:
        UserError: no finite row, invalid weights, or an argument out of range.

    Reference:
        Weiszfeld 1937; smoothing as in Pillutla et al. (arXiv 1912.13445). All iterations use one
        Gram matrix.
        Deviation: the papers stop on the relative change of the objective, which one row at 1e30
        dominates, so that z would stop far from the solution; the median distance is not affected.
    """
    require_real("nu", nu, lambda value: value > 0, "a number > 0")
    require_real("tolerance", tolerance, lambda value: 0 < value < 1, "a number > 0 and < 1")
    if passes is not None:
        require_whole("passes", passes, 1)
    stack = finite_stack(updates, weights=weights)
    return weighted_mean(
        stack,
        weiszfeld(
            stack,
            stack.ops.centered_gram(stack.rows),
            stack.weights,
            nu=nu,
            tolerance=tolerance,
            passes=passes,
        ),
    )


def weiszfeld(stack, products, weights, *, nu: float, tolerance: float, passes: int | None):
    """Return the coefficients `(n,)` of the rows in z; they sum to one.

    Args:
        stack: a checked stack.
        products: the Gram matrix `(n, n)` of its centered rows. z is represented only by its
            coefficients, which sum to one, so the choice of the center does not matter.
        weights: `(n,)` or None.
        nu, tolerance, passes: see `geometric_median`.
    """
    ops, xp = stack.ops, stack.ops.xp
    norms = ops.diagonal(products)
    shares = shares_of(stack, weights)
    middle = (stack.n - 1) // 2

    def step(coefficients):
        towards = xp.sum(products * coefficients[None, :], axis=1)
        squared = norms - 2 * towards + xp.sum(coefficients * towards)
        distances = xp.maximum(xp.sqrt(xp.maximum(squared, 0.0)), nu)
        new = shares / distances
        new = new / xp.sum(new)
        moved = new - coefficients
        length = xp.sqrt(xp.maximum(xp.sum(moved * xp.sum(products * moved[None, :], axis=1)), 0.0))
        done = length <= tolerance * xp.sort(distances)[middle]
        return (done if passes is None else xp.equal(length, -1.0)), new

    (coefficients,) = ops.repeat_until(passes or MOST_PASSES, step, shares)
    return coefficients


@dataclass(frozen=True)
class GeometricMedianSettings:
    """Settings of the geometric median."""

    passes: int | None = option(None, "Largest number of passes; none: until convergence.")

    def __post_init__(self):
        check_passes(self.passes)


def check_passes(passes: int | None) -> None:
    """Check a number of passes that may be missing."""
    if passes is not None:
        require_whole("passes", passes, 1, MOST_PASSES)


def weiszfeld_without_each(stack, passes):
    """Yield the geometric median without the first row, without the second, and so on."""
    products, few = stack.ops.centered_gram(stack.rows), stack._replace(n=stack.n - 1)
    for kept, sub in without(stack.n, products):
        weights = None if stack.weights is None else stack.weights[kept]
        yield weighted_mean(
            stack,
            spread(kept, weiszfeld(few, sub, weights, nu=1e-6, tolerance=1e-6, passes=passes)),
        )


GEOMETRIC_MEDIAN = Rule(
    name="geometric-median",
    summary="geometric median, by Weiszfeld's algorithm",
    paper="Pillutla et al., IEEE TSP 2022, arXiv 1912.13445",
    settings=GeometricMedianSettings,
    apply=lambda updates, given, own: geometric_median(
        updates, weights=given.weights, passes=own.passes
    ),
    least=lambda f: 2 * f + 1,
    condition="f < n / 2",
    weighted=True,
    without_each=lambda stack, f, own: weiszfeld_without_each(stack, own.passes),
    oracle=oracles.geometric_median,
)
