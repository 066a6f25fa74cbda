"""The same functions on tensors, eagerly and in a graph that does not know the number of rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn import aggregation
from tfunlearn.aggregation import RULES, on_arrays, on_tensors
from tfunlearn.aggregation.rule import Round
from tfunlearn.core.errors import UserError

CALLS = {
    name: (
        lambda u, rule=rule: rule(
            u,
            Round(
                f=2, reference=np.linspace(-1, 1, 40).astype(np.float32) if rule.reference else None
            ),
        )
    )
    for name, rule in RULES.items()
    if rule.needs_arrays(rule.settings()) is None
} | {
    "nearest-neighbor-mixing": lambda u: aggregation.nearest_neighbor_mixing(u, f=2),
    "bucketing": lambda u: aggregation.bucketing(u, size=3, seed=7, round_number=4),
    "trimmed by a share": lambda u: aggregation.trimmed_mean(u, trim=0.2),
    "some of multi-krum": lambda u: aggregation.multi_krum(u, f=2, m=3),
    "passes of clipping": lambda u: aggregation.centered_clipping(u, clip=2.0, passes=3),
    "weights": lambda u: aggregation.mean(u, weights=np.arange(1.0, 12.0)),
    "weights of rfa": lambda u: aggregation.rfa(u, weights=np.arange(1.0, 12.0)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("broken", [False, True])
def test_bits_are_equal(name, broken):
    updates = np.random.default_rng(5).standard_normal((11, 40)).astype(np.float32)
    if broken:
        updates[3, 5], updates[7, 2], updates[1] = np.nan, np.inf, 1e30
    expected = CALLS[name](updates)
    assert CALLS[name](tf.constant(updates)).numpy().tobytes() == expected.tobytes()
    traced = tf.function(
        lambda u: CALLS[name](u), autograph=False, input_signature=[tf.TensorSpec([None, 40])]
    )
    assert traced(updates).numpy().tobytes() == expected.tobytes()


def test_both_kinds_of_stack_offer_the_same_functions():
    def offered(module):
        return {
            name
            for name, value in vars(module).items()
            if callable(value)
            and not name.startswith("_")
            and value.__module__.startswith("tfunlearn.")
        }

    arrays = offered(on_arrays) - {
        "UserError",
        "for_blocks",
        "order_statistics",
        "pieces_of",
        "sum_of_stripes",
        "width",
    }
    assert arrays == offered(on_tensors) - {"UserError"}
    assert set(on_arrays.__all__) - {"xp"} == arrays


def test_conditions_hold_on_tensors_too():
    few = tf.zeros([6, 3])
    with pytest.raises(UserError, match="krum: .*got n=6, f=2"):
        aggregation.krum(few, f=2)
    with pytest.raises(UserError, match="float64 of shape"):
        aggregation.mean(tf.zeros([6, 3], tf.float64))
    traced = tf.function(
        lambda u: aggregation.krum(u, f=2),
        autograph=False,
        input_signature=[tf.TensorSpec([None, 3])],
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="n >= 2f"):
        traced(few)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one row must be finite"):
        traced(few + np.nan)
