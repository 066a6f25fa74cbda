"""Ranking by impact: numbers by hand, and the published steps against a restatement in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from brute_force import (
    affine,
    brute_force_entropy,
    brute_force_pairs,
    brute_force_saliency,
    published_steps,
    times,
)

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import prune_pairs
from tfunlearn.pruning.impact import entropies, lowest, pool_scores, widths

layers = tf.keras.layers
# units w = (3,0), (3,4), (0,1), b = 1, 3, 1, a = (1,0), (0,2), (3,4)
BY_HAND = [[[3, 3, 0], [0, 4, 1]], [1, 3, 1], [[1, 0], [0, 2], [3, 4]], [5, 6]]


def net(widths_, activations, *, inputs=4, between=(), seed=0, scale=1.0):
    """Returns a chain of Dense layers with random weights, `between` behind each but the last."""
    model = tf.keras.Sequential([layers.Input((inputs,))])
    for number, (width, activation) in enumerate(zip(widths_, activations)):
        model.add(layers.Dense(width, activation=activation, name=f"dense_{number}"))
        for layer in between if number < len(widths_) - 1 else ():
            model.add(layer())
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(0, scale / w.shape[0] ** 0.5, w.shape) for w in model.get_weights()]
    )
    return model


def by_hand():
    model = tf.keras.Sequential(
        [layers.Input((2,)), layers.Dense(3, activation="relu", name="first"), layers.Dense(2)]
    )
    model.set_weights([np.array(w, np.float32) for w in BY_HAND])
    return model


def test_impact_by_hand():
    # inputs in [0, 1]: units in [1, 4], [3, 10], [1, 2]; the only disjoint pair: 2 for 0
    # delta [1 - 4, 2 - 1] = [-3, 1] times a_0 = (1, 0): outputs [-3, 1] and [0, 0]
    # L = 4; similarity 1 - (3 + 1) / (2 * 4) = 0.5, so each output is alone: E = ln 2
    record = prune_pairs(by_hand(), 0.01)["first"]
    (pair,) = record.candidates
    assert (pair.kept, pair.removed, pair.chosen, record.bound) == (2, 0, True, 3.0)
    assert (pair.l1, pair.entropy) == (4.0, pytest.approx(math.log(2)))


def test_published_steps_by_hand():
    # the best pair, S[2, 0], is passed over; next S[1, 0] = 4.5: column 0 is kept, row 1 goes
    # units in [0, 1], delta [-1, 1] times a_0 = (1, 0): L = 2, E = ln 2
    model = by_hand()
    record = prune_pairs(model, 0.01, compat="flap")["first"]
    (pair,) = record.candidates
    assert (pair.kept, pair.removed, pair.saliency, pair.l1) == (0, 1, 4.5, 2.0)
    assert pair.entropy == pytest.approx(math.log(2))
    assert pair.score == pytest.approx(0.75 * 0.8807970779778823 + 0.25 * 2 / 3)
    kernel, bias, outgoing, _ = model.get_weights()
    assert kernel.tolist() == BY_HAND[0] and bias.tolist() == BY_HAND[1]
    assert outgoing.tolist() == [[1, 2], [0, 0], [3, 4]]


def test_the_range_of_the_inputs_matters():
    model = by_hand()
    (pair,) = prune_pairs(model, input_range=(-1.0, 1.0))["first"].candidates
    assert pair.l1 == 6.0  # units in [0, 4], [0, 10], [0, 2]: [0 - 4, 2 - 0]
    (pair,) = prune_pairs(by_hand(), compat="flap", input_range=(0.0, 3.0))["first"].candidates
    assert pair.l1 == 6.0  # [0 - 3, 3 - 0]


@pytest.mark.parametrize(
    "values, expected",
    [
        ([(0, 1)] * 10, 0.0),  # all alike: each p is 1
        ([(0, k) for k in range(1, 11)], None),
        ([(0, 0)] * 4, 0.0),
        ([(k, k + 0.01) for k in range(10)], 10 * 0.1 * math.log(10)),
    ],
)  # all differ
def test_entropy(values, expected):
    lo, hi = np.array(values, float).T[:, None]
    assert entropies(lo, hi)[0] == pytest.approx(brute_force_entropy(values))
    if expected is not None:
        assert entropies(lo, hi)[0] == pytest.approx(expected)


def test_entropy_in_blocks(rng, monkeypatch):
    lo = rng.normal(size=(5, 40))
    hi = lo + rng.random((5, 40))
    whole = entropies(lo, hi)
    monkeypatch.setattr("tfunlearn.pruning.impact.BLOCK_VALUES", 700)
    np.testing.assert_array_equal(entropies(lo, hi), whole)
    np.testing.assert_array_equal(widths(lo, hi), (hi - lo).sum(axis=1))


def test_scores_are_scaled_over_the_pool():
    scores = pool_scores(np.array([10.0, 30, 20]), np.array([2.0, 1, 1]), alpha=0.75, beta=0.25)
    np.testing.assert_allclose(scores, [0.25, 0.75, 0.375])
    assert lowest(scores, 2).tolist() == [True, False, True]
    assert lowest(np.array([1.0, 0, 0, 0]), 2).tolist() == [False, True, True, False]
    assert pool_scores(np.array([3.0]), np.array([1.0]), alpha=1, beta=1).tolist() == [0]


def sound_steps(model, fraction):
    """Restates the choice by impact for a chain of ReLU layers, with plain loops."""
    weights = [w.astype(np.float64) for w in model.get_weights()]
    depth, found = len(weights) // 2, []
    for layer in range(depth - 1):
        need = max(1, math.ceil(fraction * weights[2 * layer].shape[1]))
        units = [(0.0, 1.0)] * weights[0].shape[0]
        for number in range(layer + 1):
            units = [
                (max(lo, 0), max(hi, 0))
                for lo, hi in affine(units, weights[2 * number], weights[2 * number + 1])
            ]
        table = brute_force_saliency(*weights[2 * layer : 2 * layer + 3])
        rows = []
        for i, j in brute_force_pairs(table, 2 * need):
            delta = units[i][0] - units[j][1], units[i][1] - units[j][0]
            moves = [times(delta, weight) for weight in weights[2 * layer + 2][j].tolist()]
            for number in range(layer + 2, depth):
                moves = [(min(lo, 0), max(hi, 0)) for lo, hi in moves]
                moves = affine(moves, weights[2 * number], np.zeros(weights[2 * number].shape[1]))
            rows.append((i, j, sum(hi - lo for lo, hi in moves), brute_force_entropy(moves)))
        (low, high), (calm, wild) = ((min(v), max(v)) for v in list(zip(*rows))[2:])
        scores = [
            0.75 * (l1 - low) / ((high - low) or 1) + 0.25 * (e - calm) / ((wild - calm) or 1)
            for *_, l1, e in rows
        ]
        order = sorted(range(len(rows)), key=lambda k: scores[k])[:need]
        found.append([(*row, scores[k], k in order) for k, row in enumerate(rows)])
        for i, j, *_, chosen in found[-1]:
            if chosen:
                weights[2 * layer + 2][i] += weights[2 * layer + 2][j]
                for array, place in zip(
                    weights[2 * layer : 2 * layer + 3], [(..., j), (..., j), (j, ...)]
                ):
                    array[place] = 0
    return found


@pytest.mark.parametrize("seed", range(4))
def test_choice_by_impact_agrees_with_loops(seed):
    model = net((12, 9, 7, 4), ("relu", "relu", "relu", None), seed=seed)
    expected = sound_steps(model, 0.2)
    records = prune_pairs(model, 0.2)
    for number, rows in enumerate(expected):
        pairs = records[f"dense_{number}"].candidates
        assert [(p.kept, p.removed, p.chosen) for p in pairs] == [
            (i, j, chosen) for i, j, *_, chosen in rows
        ]
        np.testing.assert_allclose(
            [(p.l1, p.entropy, p.score) for p in pairs],
            [row[2:5] for row in rows],
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("fraction", [0.01, 0.07, 0.2])
@pytest.mark.parametrize("between", [(), (lambda: layers.Dropout(0.5),)])
@pytest.mark.parametrize(
    "kinds, scale, first",
    [
        (("relu", "relu", "relu", "softmax"), 0.1, (0.0, 1.0)),
        (("relu", "tanh", "relu", None), 1.0, (0.0, 1.0)),
        (("sigmoid", None, "sigmoid", None), 1.0, (-0.5, 2.0)),
    ],
)
def test_published_steps_agree_with_loops(fraction, between, kinds, scale, first):
    """L stays small here, so that the published sigmoid tells candidates apart."""
    model = net((40, 30, 12, 5), kinds, between=between, scale=scale, seed=1)
    weights = [w.astype(np.float64) for w in model.get_weights()]
    expected = published_steps(weights, [kind == "relu" for kind in kinds], fraction, first)
    records = prune_pairs(model, fraction, compat="flap", input_range=first)
    for number, rows in enumerate(expected):
        pairs = records[f"dense_{number}"].candidates
        assert [(p.kept, p.removed, p.chosen) for p in pairs] == [
            (a, b, chosen) for a, b, *_, chosen in rows
        ]
        np.testing.assert_allclose(
            [(p.saliency, p.l1, p.entropy, p.score) for p in pairs],
            [row[2:6] for row in rows],
            rtol=1e-5,
        )
    for ours, theirs in zip(model.get_weights(), weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_published_saliency_mode_skips_the_best_pair_and_keeps_the_scored_unit(rng):
    model = net((20, 6), ("relu", None))
    kernel, bias, outgoing, _ = (w.astype(np.float64) for w in model.get_weights())
    table = brute_force_saliency(kernel, bias, outgoing, allow_dead=True)
    pairs = prune_pairs(model, 0.2, score="saliency", compat="flap")["dense_0"].candidates
    assert [(p.removed, p.kept) for p in pairs] == brute_force_pairs(table, 4, skip=1)
    assert all(p.chosen and p.l1 is None and p.score == p.saliency for p in pairs)


def test_published_steps_let_dead_units_take_part():
    model = net((6, 3), ("relu", None))
    weights = model.get_weights()
    weights[2][4] = 0
    model.set_weights(weights)
    (pair, *_) = prune_pairs(model, 0.01, compat="flap")["dense_0"].candidates
    assert pair.kept == 4 and pair.saliency == 0  # a dead unit takes over a live one


@pytest.mark.parametrize("obstacle", [layers.BatchNormalization, lambda: layers.Activation("relu")])
def test_published_steps_know_only_plain_chains(obstacle):
    model = net((6, 5, 3), ("relu", "relu", None), between=(obstacle,))
    before = model.get_weights()
    with pytest.raises(UserError, match="compat: 'flap' .*'dense_0' is read by"):
        prune_pairs(model, compat="flap")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_units_that_two_heads_read_leave_both():
    inputs = tf.keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="trunk")(inputs)
    left, right = layers.Dense(3, name="left")(x), layers.Dense(2, name="right")(layers.ReLU()(x))
    model = tf.keras.Model(inputs, layers.Concatenate()([left, right]))
    records = prune_pairs(model, 0.2)
    assert len(records["trunk"].removed) == 2
    for removed in records["trunk"].removed:
        heads = [
            layer.kernel.numpy()[removed]
            for layer in model.layers[-4:]
            if layer.name in ("left", "right")
        ]
        assert len(heads) == 2 and not any(head.any() for head in heads)


def test_a_published_net_under_its_own_pruner(shared_models):
    model = build_model(str(shared_models / "lenet5_emnist_098.h5"), (28, 28, 1), 10)
    dense = [w.astype(np.float64) for w in model.get_weights()[4:]]
    expected = published_steps(dense, [True, True, False], 0.05)
    records = prune_pairs(model, 0.05, compat="flap")
    for name, rows in zip(("dense", "dense_1"), expected):
        pairs = records[name].candidates
        assert [(p.kept, p.removed) for p in pairs] == [row[:2] for row in rows]
        np.testing.assert_allclose(
            [(p.saliency, p.l1, p.entropy) for p in pairs], [row[2:5] for row in rows], rtol=1e-5
        )


def test_published_bounds_may_be_inverted_and_stay_so():
    # the second layer's units: [0, 1 - 2], [0, 1.1 - 3], [0, 1.3 - 4]; kept 1 for 0, say:
    # [0 - (-1), -1.9 - 0] times 1, so that L = -1.9 - 1
    model = tf.keras.Sequential(
        [
            layers.Input((2,)),
            layers.Dense(2, activation="relu"),
            layers.Dense(3, activation="relu", name="b"),
            layers.Dense(1),
        ]
    )
    model.set_weights(
        [
            np.eye(2),
            np.zeros(2),
            np.array([[1, 1, 1], [0, 0.1, 0.3]]),
            np.array([-2.0, -3, -4]),
            np.ones((3, 1)),
            np.zeros(1),
        ]
    )
    (pair,) = prune_pairs(model, compat="flap", layers=["b"])["b"].candidates
    highs = [-1.0, -1.9, -2.7]
    assert pair.l1 == pytest.approx(highs[pair.kept] + highs[pair.removed], rel=1e-6)
    assert pair.l1 < 0 and pair.score < 0.5


@pytest.mark.parametrize("shift", [-1, -2, -4])
def test_published_steps_with_units_that_are_never_on(shift):
    model = net((20, 16, 12, 5), ("relu", "relu", "relu", None), seed=2)
    weights = model.get_weights()
    for bias in (1, 3, 5):
        weights[bias] += shift
    model.set_weights(weights)
    expected = published_steps([w.astype(np.float64) for w in weights], [True] * 3 + [False], 0.1)
    records = prune_pairs(model, 0.1, compat="flap")
    assert any(row[3] < 0 for rows in expected for row in rows)
    for number, rows in enumerate(expected):
        pairs = records[f"dense_{number}"].candidates
        assert [(p.kept, p.removed, p.chosen) for p in pairs] == [
            (*row[:2], row[6]) for row in rows
        ]
        np.testing.assert_allclose(
            [(p.l1, p.entropy, p.score) for p in pairs], [row[3:6] for row in rows], rtol=1e-5
        )
