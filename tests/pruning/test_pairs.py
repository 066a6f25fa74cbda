"""Pair pruning: numbers by hand, an independent brute force, the graph between Dense layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from brute_force import brute_force_pairs, brute_force_saliency

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import prune_pairs
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.pair_tensors import choose_pairs, prune_pair_site
from tfunlearn.pruning.pair_tensors import pair_saliency as tensor_saliency
from tfunlearn.pruning.saliency import cheapest_pairs, pair_costs, pair_saliency
from tfunlearn.pruning.sites import pair_sites

layers = tf.keras.layers


def chain(weights=None, between=(), units=3, **options):
    model = tf.keras.Sequential(
        [
            layers.Input((2,)),
            layers.Dense(units, activation="relu", name="first", **options),
            *between,
            layers.Dense(2, name="last"),
        ]
    )
    if weights is not None:
        model.set_weights([np.asarray(w, np.float32) for w in weights])
    return model


BY_HAND = [[[3, 3, 0], [0, 4, 1]], [1, 3, 1], [[1, 0], [0, 2], [3, 4]], [5, 6]]


def test_saliency_by_hand():
    # w = (3,0), (3,4), (0,1); b = 1, 3, 1; |a| = 1, 2, 5
    # bias terms: |1-3|/4 = 0.5, |1-1|/2 = 0; gaps: 4, sqrt(10), sqrt(18)
    kernel, bias, outgoing, _ = (np.array(w, np.float32) for w in BY_HAND)
    expected = [
        [np.inf, 4.5 * 2, math.sqrt(10) * 5],
        [4.5 * 1, np.inf, (0.5 + math.sqrt(18)) * 5],
        [math.sqrt(10) * 1, (0.5 + math.sqrt(18)) * 2, np.inf],
    ]
    np.testing.assert_allclose(tensor_saliency(kernel, bias, outgoing), expected, rtol=1e-12)
    np.testing.assert_allclose(pair_costs(kernel, bias, outgoing).T, expected, rtol=1e-12)


def test_surgery_by_hand():
    # cheapest is sqrt(10) at (kept 2, removed 0): row 2 takes over row 0, unit 0 is zeroed
    model = chain(BY_HAND)
    records = prune_pairs(model, 0.01, score="saliency")
    (pair,) = records["first"].candidates
    assert (pair.kept, pair.removed, pair.chosen) == (2, 0, True)
    assert pair.saliency == pytest.approx(math.sqrt(10))
    assert records["first"].removed == (0,) and records["last"].skipped == "output layer"
    kernel, bias, outgoing, last_bias = model.get_weights()
    assert kernel.tolist() == [[0, 3, 0], [0, 4, 1]] and bias.tolist() == [0, 3, 1]
    assert outgoing.tolist() == [[0, 0], [0, 2], [4, 4]] and last_bias.tolist() == [5, 6]


def test_incoming_weights_stay_on_request():
    model = chain(BY_HAND)
    assert prune_pairs(model, score="saliency", zero_incoming=False)["first"].removed == (0,)
    kernel, bias, outgoing, _ = model.get_weights()
    assert kernel.tolist() == BY_HAND[0] and bias.tolist() == BY_HAND[1]
    assert outgoing.tolist() == [[0, 0], [0, 2], [4, 4]]
    again = prune_pairs(model, score="saliency", zero_incoming=False)
    assert again["first"].removed == (1,)  # unit 0 has no outgoing weight


def test_bias_term_is_zero_where_the_sum_is():
    kernel, outgoing = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
    for table in (tensor_saliency, pair_costs):
        for bias in (np.array([1, -1], np.float32), None):
            assert table(kernel, bias, outgoing)[0, 1] == pytest.approx(math.sqrt(2))


def test_equal_units_merge_without_changing_the_function():
    model = chain([[[3, 3, 0], [1, 1, 1]], [1, 1, 2], [[1, 0], [2, 2], [3, 4]], [0, 0]])
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    before = model(x).numpy()
    assert prune_pairs(model, score="saliency")["first"].candidates[0].saliency == 0
    np.testing.assert_allclose(model(x), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(7, 12)).astype(np.float32)
    bias = rng.normal(size=12).astype(np.float32)
    outgoing = rng.normal(size=(12, 4)).astype(np.float32)
    outgoing[3], kernel[:, 5], bias[5] = 0, 0, 0
    table = brute_force_saliency(kernel, bias, outgoing)
    np.testing.assert_allclose(tensor_saliency(kernel, bias, outgoing), table, rtol=1e-9)
    np.testing.assert_allclose(pair_costs(kernel, bias, outgoing).T, table, rtol=1e-9)
    for count in (0, 1, 3, 6):
        kept, removed, saliency = choose_pairs(table, count)
        found = np.isfinite(saliency)
        expected = brute_force_pairs(table, count)
        assert list(zip(kept[found], removed[found])) == expected
        kept, removed = cheapest_pairs(table.T.copy(), count)
        assert list(zip(kept, removed)) == expected
        np.testing.assert_allclose(
            pair_saliency(kernel, bias, outgoing, kept, removed), [table[pair] for pair in expected]
        )
    assert found.sum() == 5  # 10 live units make 5 disjoint pairs


def test_wide_layers_are_worked_out_in_blocks(rng, monkeypatch):
    kernel = rng.normal(size=(5, 23)).astype(np.float32)
    bias, outgoing = rng.normal(size=23).astype(np.float32), rng.normal(size=(23, 2))
    whole = pair_costs(kernel, bias, outgoing)
    monkeypatch.setattr("tfunlearn.pruning.saliency.BLOCK", 7)
    np.testing.assert_allclose(pair_costs(kernel, bias, outgoing), whole, rtol=1e-9)


def test_nearly_equal_units_keep_their_digits():
    kernel = np.full((50, 3), 1000, np.float32)
    kernel[0, 1] += 2**-10  # what remains of 1000^2 * 50 after cancellation is noise
    cost = pair_costs(kernel, None, np.ones((3, 1), np.float32))
    assert cost[0, 2] == 0 and cost[0, 1] == cost[1, 2] == 2**-10


def test_ties_go_to_the_lower_removed_then_the_lower_kept_unit():
    table = np.full((4, 4), 2.0)
    table[3, 1] = table[2, 1] = table[0, 2] = 1.0
    np.fill_diagonal(table, np.inf)
    kept, removed, _ = choose_pairs(table, 1)
    assert (kept[0], removed[0]) == (2, 1)
    kept, removed = cheapest_pairs(table.T.copy(), 2)
    assert list(zip(kept, removed)) == [(2, 1), (3, 0)]


def test_a_wide_choice_agrees_with_sorting_all_pairs(rng):
    table = rng.integers(0, 40, (30, 30)).astype(float)  # many ties
    np.fill_diagonal(table, np.inf)
    kept, removed = cheapest_pairs(table.T.copy(), 15)
    assert list(zip(kept, removed)) == brute_force_pairs(table, 15)
    kept, removed = cheapest_pairs(table.T.copy(), 15, skip_best=True)
    assert list(zip(kept, removed)) == brute_force_pairs(table, 15, skip=1)


def test_later_layers_see_updated_kernels_and_repeated_calls_go_on():
    model = tf.keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(30, name="first"),
            layers.Dense(21, name="second"),
            layers.Dense(9, name="third"),
            layers.Dense(2),
        ]
    )
    gone = {name: set() for name in ("first", "second", "third")}
    for _ in range(3):
        weights = model.get_weights()
        records = prune_pairs(model, 0.1, score="saliency")
        for n, (name, count) in enumerate(zip(gone, (3, 3, 1))):
            removed = set(records[name].removed)
            assert len(removed) == count and not removed & gone[name]
            gone[name] |= removed
            table = brute_force_saliency(weights[2 * n], weights[2 * n + 1], weights[2 * n + 2])
            assert brute_force_pairs(table, count) == [
                (pair.kept, pair.removed) for pair in records[name].candidates
            ]
            weights = apply_by_hand(weights, n, records[name].candidates)
        for a, b in zip(weights, model.get_weights()):
            np.testing.assert_allclose(a, b, atol=1e-6)


def apply_by_hand(weights, n, pairs):
    weights = [w.copy() for w in weights]
    for pair in pairs:
        weights[2 * n + 2][pair.kept] += weights[2 * n + 2][pair.removed]
        weights[2 * n + 2][pair.removed] = 0
        weights[2 * n][:, pair.removed] = 0
        weights[2 * n + 1][pair.removed] = 0
    return weights


def test_layers_between_two_dense_layers_are_passed(rng):
    plain = chain(units=8)
    dressed = chain(
        units=8,
        between=[
            layers.Dropout(0.5),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.BatchNormalization(name="norm"),
        ],
    )
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in plain.get_weights()]
    plain.set_weights(weights)
    dressed.set_weights([*weights[:2], *([np.ones(8, np.float32)] * 4), *weights[2:]])
    removed = prune_pairs(plain)["first"].removed
    assert prune_pairs(dressed)["first"].removed == removed
    gamma, beta = dressed.get_layer("norm").get_weights()[:2]
    assert gamma[removed[0]] == beta[removed[0]] == 0 and gamma.sum() == 7


def test_what_cannot_be_paired_is_reported():
    inputs = tf.keras.Input((4,))
    a, b = (layers.Dense(3, name=name)(inputs) for name in ("a", "b"))
    outputs = layers.Dense(2, name="head")(layers.Add(name="sum")([a, b]))
    with pytest.raises(UserError, match=r"a: read by 'sum' \(Add\), not by a Dense layer"):
        prune_pairs(tf.keras.Model(inputs, outputs))
    sequence = tf.keras.Sequential(
        [layers.Input((5, 2)), layers.Dense(3, name="steps"), layers.Flatten(), layers.Dense(2)]
    )
    with pytest.raises(UserError, match="steps: its units are not one input each"):
        prune_pairs(sequence)


def test_tensorflow_decides_as_numpy_does():
    model = build_model("mlp", (4, 4, 1), 3)
    weights = model.get_weights()
    weights[0][:, 5] = weights[1][5] = 0
    for site in pair_sites(Graph.of(model))[:-1]:
        new, decision = prune_pair_site(weights, site, 0.05)
        traced = tf.function(
            lambda *w: prune_pair_site(list(w), site, 0.05, xp=tf.experimental.numpy),
            autograph=False,
        )
        new_tf, decision_tf = traced(*weights)
        for name in decision:
            np.testing.assert_allclose(decision[name], decision_tf[name], rtol=1e-9)
        for a, b in zip(new, new_tf):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_published_net_with_dropout_between_dense_layers(shared_models):
    model = build_model(str(shared_models / "lenet5_emnist_098.h5"), (28, 28, 1), 10)
    shapes = [w.shape for w in model.get_weights()]
    records = prune_pairs(model, 0.01)
    assert {name: len(record.removed) for name, record in records.items()} == {
        "dense": 2,
        "dense_1": 1,
        "dense_2": 0,
    }
    assert [w.shape for w in model.get_weights()] == shapes
