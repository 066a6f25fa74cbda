"""FLTrust: weights by cosine similarity to an update that the server trains itself."""

from __future__ import annotations

from tfunlearn.aggregation import oracles
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack, vector_like

SHORTEST = 1e-30  # a shorter row cannot be scaled to the server's norm in float32


def fltrust(updates, *, trusted):
    """Return the mean of the rows, scaled to the server update's norm and weighted by trust.

        trust_i = max(0, cos(x_i, g));   sum_i trust_i (||g|| / ||x_i||) x_i / sum_i trust_i

    Args:
        updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped.
            Sample counts are ignored.
        trusted: g `(d,)`, the update that the server trains on its root data set
            (100 examples in the paper).

    Returns:
        float32 `(d,)`; zeros if no row is trusted. Rows of norm below 1e-30 get trust 0.

    Raises:
        UserError: no finite row, or `trusted` of another length.

    Reference:
        Cao et al., "FLTrust: Byzantine-robust federated learning via trust bootstrapping",
        NDSS 2021 (arXiv 2012.13995).
    """
    stack = finite_stack(updates)
    ops, xp = stack.ops, stack.ops.xp
    trusted = vector_like(stack, trusted, "trusted")
    norms = xp.sqrt(ops.squared_distances(stack.rows))
    length = xp.sqrt(ops.squared_distances(trusted[None, :])[0])
    cosines = ops.products(stack.rows, trusted) / xp.maximum(norms * length, 1e-300)
    trust = xp.where(norms < SHORTEST, 0.0, xp.maximum(cosines, 0.0))
    total = xp.sum(trust)
    shares = trust / xp.where(total > 0, total, 1.0)
    return ops.to_float32(ops.combine(shares * length / xp.maximum(norms, SHORTEST), stack.rows))


FLTRUST = Rule(
    name="fltrust",
    summary="mean weighted by similarity to the server's own update",
    paper="Cao et al., NDSS 2021, arXiv 2012.13995",
    apply=lambda updates, given, own: fltrust(updates, trusted=given.reference),
    least=lambda f: f + 1,
    condition="f < n",
    reference="trusted",
    translates=False,
    scales=False,
    oracle=oracles.fltrust,
)
