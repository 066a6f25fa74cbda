"""Mean around the median (MeaMed), per coordinate."""

from __future__ import annotations

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.bulyan import window_mean
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import check_f, finite_stack, require_rows

CONDITION = "f < n / 2"


def meamed(updates, *, f: int, strict: bool = True):
    """Return, per coordinate, the mean of the `n - f` values nearest to the median.

    Args:
        updates: float32 `(n, d)`, an array or a tensor. Non-finite rows are dropped; each uses up
            one of the `f`.
        f: number of malicious rows to tolerate, >= 0. Sample counts are ignored.
        strict: refuse `n < 2f + 1`; default True. False warns.

    Returns:
        float32 `(d,)`. Of two values equally near to the median, the smaller one is taken first.

    Raises:
        UserError: no finite row, or the condition above.

    Reference:
        Xie, Koyejo and Gupta, "Generalized Byzantine-tolerant SGD", 2018 (arXiv 1802.10116).
    """
    stack = finite_stack(updates)
    f = check_f(f, stack)
    require_rows("meamed", stack, f, 2 * f + 1, CONDITION, strict=strict)
    ops, n = stack.ops, stack.n
    size, position = ops.xp.maximum(n - f, 1), ops.positions(n)
    return ops.by_coordinate(
        stack.rows, 0, n, lambda values: window_mean(ops, values, position, n, size)
    )


MEAMED = Rule(
    name="meamed",
    summary="mean of the values nearest to the median, per coordinate",
    paper="Xie, Koyejo and Gupta 2018, arXiv 1802.10116",
    apply=lambda updates, given, own: meamed(updates, f=given.f, strict=given.strict),
    least=lambda f: 2 * f + 1,
    condition=CONDITION,
    ignores_huge=True,
    validates_f=True,
    averages={},
    oracle=oracles.meamed,
)
