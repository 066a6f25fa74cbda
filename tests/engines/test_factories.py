"""The rules inside TFF: same bits as the functions, in anybody's process."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.aggregation import RULES, Aggregator, mean
from tfunlearn.conformance.check_aggregator import same_bits_in_tff
from tfunlearn.core.errors import UserError
from tfunlearn.engines.tff import factories, local_worker, rule_factory

tff = pytest.importorskip("tensorflow_federated")

VECTOR = tff.TensorType(np.float32, [6])
WEIGHT = tff.TensorType(np.float32)


@pytest.fixture(scope="module", autouse=True)
def worker():
    with local_worker():
        yield


@pytest.mark.parametrize("name", RULES)
def test_same_bits(name):
    finding = same_bits_in_tff(name)
    if RULES[name].needs_arrays(RULES[name].settings()) is None:
        assert finding.passed, finding.detail
    else:
        assert finding.passed is None and "gathered updates only" in finding.detail


@pytest.mark.parametrize(
    "before",
    [("nearest-neighbor-mixing",), ("bucketing",), ("nearest-neighbor-mixing", "bucketing")],
)
def test_steps_before_a_rule_have_the_same_bits(before, rng):
    aggregator = Aggregator("krum", 1, before=before, seed=9)
    process = rule_factory(aggregator, clients=11).create(VECTOR, WEIGHT)
    state = process.initialize()
    for number in (1, 2):
        updates = rng.standard_normal((11, 6)).astype(np.float32)
        output = process.next(state, list(updates), [np.float32(1)] * 11)
        assert output.result.tobytes() == aggregator(updates, round_number=number).tobytes()
        state = output.state
    assert state["round"] == 2


def test_structures_and_unweighted_factories(rng):
    structure = tff.to_type([(np.float32, [2, 2]), (np.float32, [2])])
    updates = rng.standard_normal((5, 6)).astype(np.float32)
    process = rule_factory(Aggregator("median", 2), clients=5, weighted=False).create(structure)
    output = process.next(process.initialize(), [[u[:4].reshape(2, 2), u[4:]] for u in updates])
    np.testing.assert_array_equal(output.result[0].ravel(), np.median(updates, axis=0)[:4])
    np.testing.assert_array_equal(output.result[1], np.median(updates, axis=0)[4:])
    with pytest.raises(UserError, match="value: .*float32; got float64"):
        rule_factory(Aggregator("median", 2), clients=5).create(
            tff.TensorType(np.float64, [3]), WEIGHT
        )


def test_weight_zero_is_left_out_and_nobody_gives_zeros(rng):
    updates = rng.standard_normal((8, 6)).astype(np.float32)
    aggregator = Aggregator("krum", 2)
    process = rule_factory(aggregator, clients=8).create(VECTOR, WEIGHT)
    weights = [np.float32(w) for w in (1, 1, 0, 1, 1, 1, 1, 1)]
    output = process.next(process.initialize(), list(updates), weights)
    expected = aggregator(np.delete(updates, 2, axis=0), dropped=1)
    assert output.result.tobytes() == expected.tobytes()
    output = process.next(process.initialize(), list(updates), [np.float32(0)] * 8)
    assert output.result.tolist() == [0] * 6


def test_fewer_clients_than_slots_and_more(rng):
    process = rule_factory(Aggregator("mean"), clients=4).create(VECTOR, WEIGHT)
    updates = rng.standard_normal((5, 6)).astype(np.float32)
    ones = [np.float32(1)] * 5
    output = process.next(process.initialize(), list(updates[:3]), ones[:3])
    assert output.result.tobytes() == mean(updates[:3]).tobytes()
    with pytest.raises(Exception, match="clients: a round must have at most"):
        process.next(process.initialize(), list(updates), ones)


@pytest.mark.parametrize(
    "name, f, clients",
    [("krum", 2, 4), ("multi-krum", 2, 5), ("bulyan", 2, 6), ("trimmed-mean", 3, 4)],
)
def test_a_round_with_too_few_clients_is_an_error(name, f, clients, rng):
    process = rule_factory(Aggregator(name, f), clients=11).create(VECTOR, WEIGHT)
    updates = rng.standard_normal((clients, 6)).astype(np.float32)
    with pytest.raises(Exception, match="needs .*got n="):
        process.next(process.initialize(), list(updates), [np.float32(1)] * clients)


def test_the_centre_stays_in_a_round_in_which_nobody_counts(rng):
    process = rule_factory(Aggregator("centered-clipping", 1), clients=3).create(VECTOR, WEIGHT)
    updates = rng.standard_normal((3, 6)).astype(np.float32)
    state = process.next(process.initialize(), list(updates), [np.float32(1)] * 3).state
    after = process.next(state, list(updates), [np.float32(0)] * 3)
    np.testing.assert_array_equal(after.state["reference"], state["reference"])
    assert np.abs(state["reference"]).max() > 0 and not after.result.any()


def test_huge_and_tiny_rows_have_the_same_bits(rng):
    updates = rng.standard_normal((9, 6)).astype(np.float32)
    updates[1], updates[2], updates[5] = 3e38, 1e-36, -1e30
    for name in ("geometric-median", "rfa", "norm-bound", "median", "trimmed-mean", "krum"):
        aggregator = Aggregator(name, 2)
        process = rule_factory(aggregator, clients=9).create(VECTOR, WEIGHT)
        result = process.next(process.initialize(), list(updates), [np.float32(1)] * 9).result
        assert result.tobytes() == aggregator(updates, weights=np.ones(9)).tobytes()


def test_registers_of_two_machines_are_merged_in_order(rng):
    rows = rng.standard_normal((5, 3)).astype(np.float32)
    empty, add, merge, joined = factories._register(6, 3)

    def filled(part):
        held = empty()
        for row in part:
            held = add(held, (row, np.float32(row[0])))
        return held

    for cut in range(6):
        whole = joined(merge(filled(rows[:cut]), filled(rows[cut:])))
        np.testing.assert_array_equal(whole["rows"], rows)
        np.testing.assert_array_equal(whole["weights"], rows[:, 0])
        assert whole["count"] == 5


def test_it_plugs_into_tffs_own_federated_averaging():
    images = np.random.default_rng(0).standard_normal((6, 8, 4)).astype(np.float32)
    data = [tf.data.Dataset.from_tensor_slices((x, np.arange(8) % 2)).batch(4) for x in images]

    def model_fn():
        keras = tf.keras.Sequential(
            [tf.keras.layers.Input([4]), tf.keras.layers.Dense(2, kernel_initializer="zeros")]
        )
        return tff.learning.models.from_keras_model(
            keras,
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            input_spec=data[0].element_spec,
        )

    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.1),
        model_aggregator=rule_factory(Aggregator("trimmed-mean", 1), clients=6),
    )
    state = process.next(process.initialize(), data).state
    weights = process.get_model_weights(state).trainable
    assert np.isfinite(weights[0]).all() and np.abs(weights[0]).max() > 1e-3


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: rule_factory(Aggregator("krum", 3), clients=8), "krum .*got n=8, f=3"),
        (lambda: rule_factory(Aggregator("bulyan", "radical"), clients=10), "n >= 15; got .*f=3"),
        (
            lambda: rule_factory(Aggregator("krum", 1, before=("bucketing",)), clients=8),
            "krum .*got n=4, f=1",
        ),
        (
            lambda: rule_factory(Aggregator("multi-krum", 1, selected=9), clients=8),
            "selected: .*got 9",
        ),
        (lambda: rule_factory(Aggregator("norm-bound", noise=1.0), clients=8), "noise: .*got 1.0"),
        (lambda: rule_factory(Aggregator(), clients=0), "clients: .*got 0"),
        (lambda: Aggregator("krumm"), "did you mean 'krum'"),
        (lambda: Aggregator("krum", byzantine="perfekt"), "did you mean 'perfect'"),
        (lambda: Aggregator("krum", byzantine=1.5), "byzantine: .*got 1.5"),
        (
            lambda: Aggregator("krum", selected=3),
            "selected: .*it is for multi-krum; got 3",
        ),
        (lambda: Aggregator("mean", clip=3.0), "clip: .*centered-clipping, norm-bound; got 3.0"),
        (lambda: Aggregator("rfa", passes=0), "passes: .*got 0"),
        (lambda: Aggregator("krum", compat="flap"), "compat: .*for median, multi-krum; got .flap."),
        (lambda: Aggregator(before=("mixing",)), "before: unknown name 'mixing'"),
        (lambda: Aggregator(before="bucketing"), "before: .*a tuple of names; got 'bucketing'"),
        (lambda: Aggregator(byzantine=None), "byzantine: .*got None"),
        (lambda: Aggregator(byzantine=[2]), "byzantine: .*got .2."),
        (lambda: Aggregator("multi-krum", selected="3"), "selected: .*got '3'"),
        (lambda: Aggregator(bucket_size=True), "bucket_size: .*got True"),
        (lambda: Aggregator("rfa", passes=1.5), "passes: .*got 1.5"),
        (lambda: Aggregator("fltrust", 1)(np.ones((4, 2), np.float32)), "reference: .*got None"),
    ],
)
def test_mistakes_are_found_when_it_is_built(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_flaps_modes_and_fractions():
    f = [Aggregator("trimmed-mean", mode).f(80) for mode in ("conservative", "perfect", "radical")]
    assert f == [8, 16, 24]
    assert Aggregator("krum", 0.3).f(10) == 3 and Aggregator("krum", 4).f(10) == 4
    assert Aggregator("krum", 0.29).f(100) == 29
