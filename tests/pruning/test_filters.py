"""Filter pruning: numbers by hand, following layers, what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import prune_filters
from tfunlearn.pruning.counting import count_of, most_lost
from tfunlearn.pruning.filters import filter_record, prune_filter_site
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.sites import filter_sites

layers = tf.keras.layers


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(size=w.shape).astype(np.float32) ** 2 + 0.1 for w in model.get_weights()]
    )
    return model


def four_filters(**options):
    """1x1 convolution with filters of l1 norm 3, 1, 4, 2, then a head."""
    model = tf.keras.Sequential(
        [
            layers.Input((2, 2, 2)),
            layers.Conv2D(4, 1, name="conv", **options),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    weights = model.get_weights()
    weights[0] = np.array([[1, -1, 4, 1], [-2, 0, 0, 1]], np.float32).reshape(1, 1, 2, 4)
    if options.get("use_bias", True):
        weights[1] = np.array([9, 9, 9, 9], np.float32)
    model.set_weights(weights)
    return model


def test_least_l1_filter_goes_with_its_bias():
    model = four_filters()
    record = prune_filters(model, 0.01)["conv"]
    assert record.pruned == (1,) and record.norms == (1.0,) and record.zeroed == 1
    kernel, bias = model.get_weights()[:2]
    assert kernel[0, 0].tolist() == [[1, 0, 4, 1], [-2, 0, 0, 1]] and bias.tolist() == [9, 0, 9, 9]


def test_repeated_calls_go_on_and_never_take_all():
    model = four_filters(use_bias=False)
    assert [prune_filters(model, 0.3)["conv"].pruned for _ in range(3)] == [(1, 3), (0,), ()]
    assert prune_filters(four_filters(), 0.99)["conv"].pruned == (1, 3, 0)


def test_a_layer_loses_no_more_than_the_limit_in_all():
    """l1 norms 3, 1, 4, 2: with at most half of the four, filter 0 stays though it is due."""
    model = four_filters(use_bias=False)
    assert prune_filters(model, 0.25, limit=0.5)["conv"].pruned == (1,)
    record = prune_filters(model, 0.5, limit=0.5)["conv"]
    assert (record.pruned, record.zeroed, record.spared) == ((3,), 2, 1)
    record = prune_filters(model, 0.25, limit=0.5)["conv"]
    assert (record.pruned, record.zeroed, record.spared) == ((), 2, 1)
    literal = prune_filters(model, 0.5, limit=0.5, exclude_zeroed=False)["conv"]
    assert (set(literal.pruned), literal.zeroed, literal.spared) == ({1, 3}, 2, 0)
    with pytest.raises(UserError, match="limit: .*at least what.*got 0.2"):
        prune_filters(model, 0.25, limit=0.2)


@pytest.mark.parametrize(
    "units, limit, most",
    [
        (6, 0.2, 1),
        (16, 0.2, 3),
        (4, 0.2, 0),
        (120, 0.2, 24),
        (6, None, 5),
        (6, 1.0, 5),
        (1, 1.0, 0),
        (10, 0.3, 3),
    ],
)
def test_what_a_layer_may_lose(units, limit, most):
    assert most_lost(units, limit) == most


def test_zeroed_filters_can_be_picked_again_on_request():
    model = four_filters()
    prune_filters(model, 0.01)
    assert prune_filters(model, 0.01, exclude_zeroed=False)["conv"].pruned == (1,)
    assert prune_filters(model, 0.01)["conv"].pruned == (3,)


@pytest.mark.parametrize(
    "units, fraction, count",
    [
        (99, 0.01, 1),
        (100, 0.01, 1),
        (101, 0.01, 2),
        (120, 0.01, 2),
        (84, 0.01, 1),
        (100, 0.07, 7),
        (100, 0.29, 29),
        (6, 1e-6, 1),
        (10, 0.95, 10),
        (10, 0, 0),
    ],
)
def test_counts(units, fraction, count):
    assert count_of(units, fraction) == count


def test_normalisation_behind_a_filter_goes_quiet():
    model = randomized(
        tf.keras.Sequential(
            [
                layers.Input((6, 6, 2)),
                layers.Conv2D(5, 3, name="conv"),
                layers.Dropout(0.5),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    before = model.get_weights()
    (pruned,) = prune_filters(model, 0.01)["conv"].pruned
    quiet = tf.keras.Model(model.inputs, model.get_layer("norm").output)
    output = quiet(np.random.default_rng(0).random((3, 6, 6, 2), np.float32)).numpy()
    assert not output[..., pruned].any() and output[..., [k for k in range(5) if k != pruned]].all()
    kernel, bias, gamma, beta, mean, variance = model.get_weights()[:6]
    assert gamma[pruned] == beta[pruned] == bias[pruned] == 0 and not kernel[..., pruned].any()
    np.testing.assert_array_equal(mean, before[4])
    np.testing.assert_array_equal(variance, before[5])


def test_normalisation_without_gamma_goes_quiet_too():
    model = randomized(
        tf.keras.Sequential(
            [
                layers.Input((6, 6, 2)),
                layers.Conv2D(5, 3, name="conv"),
                layers.BatchNormalization(scale=False, name="norm"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    (pruned,) = prune_filters(model, 0.01)["conv"].pruned
    quiet = tf.keras.Model(model.inputs, model.get_layer("norm").output)
    assert not quiet(np.ones((1, 6, 6, 2), np.float32)).numpy()[..., pruned].any()


def test_normalisation_behind_a_pool_goes_quiet_too():
    model = randomized(
        tf.keras.Sequential(
            [
                layers.Input((8, 8, 2)),
                layers.Conv2D(5, 3, name="conv"),
                layers.MaxPooling2D(2),
                layers.ZeroPadding2D(1),
                layers.BatchNormalization(name="norm"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    (pruned,) = prune_filters(model, 0.01)["conv"].pruned
    quiet = tf.keras.Model(model.inputs, model.get_layer("norm").output)
    output = quiet(np.ones((1, 8, 8, 2), np.float32)).numpy()
    assert not output[..., pruned].any() and output.any()


def test_normalisation_over_another_axis_is_reported():
    model = tf.keras.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(5, 3, name="conv"),
            layers.BatchNormalization(axis=1),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    with pytest.raises(UserError, match="conv: the normalisation behind it is not one channel"):
        prune_filters(model)


def test_subclasses_of_convolutions_are_found():
    class Weighted(layers.Conv2D):
        pass

    model = randomized(
        tf.keras.Sequential(
            [
                layers.Input((8, 8, 2)),
                Weighted(5, 3, name="mine"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    assert len(prune_filters(model)["mine"].pruned) == 1


def test_zeroing_computes_what_deleting_would():
    model = randomized(
        tf.keras.Sequential(
            [
                layers.Input((8, 8, 1)),
                layers.Conv2D(4, 3, activation="relu", name="conv"),
                layers.Conv2D(3, 3, activation="relu", name="next"),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
    )
    pruned = prune_filters(model, 0.01)["conv"].pruned[0]
    kept = [k for k in range(4) if k != pruned]
    small = tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    w = model.get_weights()
    small.set_weights([w[0][..., kept], w[1][kept], w[2][:, :, kept], *w[3:]])
    x = np.random.default_rng(1).random((4, 8, 8, 1), np.float32)
    np.testing.assert_allclose(model(x), small(x), rtol=1e-5)


@pytest.mark.parametrize(
    "layer, shape",
    [(layers.Conv1D(6, 3, name="conv"), (9, 2)), (layers.Conv3D(6, 2, name="conv"), (4, 4, 4, 2))],
)
def test_other_dimensions(layer, shape):
    model = randomized(
        tf.keras.Sequential([layers.Input(shape), layer, layers.Flatten(), layers.Dense(2)])
    )
    kernel = model.get_weights()[0]
    norms = [sum(abs(v) for v in kernel[..., k].ravel().tolist()) for k in range(6)]
    assert prune_filters(model, 0.2)["conv"].pruned == tuple(np.argsort(norms)[:2])


def test_kinds_left_alone_are_reported():
    model = tf.keras.Sequential(
        [
            layers.Input((9, 9, 3)),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.SeparableConv2D(4, 3, name="separable"),
            layers.Conv2DTranspose(4, 3, name="transposed"),
            layers.Conv2D(5, 3, name="plain"),
            layers.Conv2D(2, 3, name="last"),
        ]
    )
    before = model.get_weights()
    records = prune_filters(model)
    assert {name: record.skipped for name, record in records.items()} == {
        "depthwise": "depthwise convolution, left alone",
        "separable": "separable convolution, left alone",
        "transposed": "transposed convolution, left alone",
        "plain": None,
        "last": "output layer",
    }
    changed = {
        model.weights[n].name
        for n, (a, b) in enumerate(zip(before, model.get_weights()))
        if not np.array_equal(a, b)
    }
    assert len(changed) == 1


def test_residual_convolutions_by_graph_not_by_name():
    model = build_model("resnet20", (32, 32, 3), 10)
    everywhere = prune_filters(model)
    assert len(everywhere) == 21 and all(record.pruned for record in everywhere.values())
    outside = prune_filters(build_model("resnet20", (32, 32, 3), 10), include_residual=False)
    assert [name for name, record in outside.items() if record.pruned] == ["stem_conv"]
    assert outside["stage1_block1_1_conv"].skipped == "inside a residual block"


def test_models_without_a_plain_graph_are_refused():
    with pytest.raises(UserError, match="no layer graph"):
        prune_filters(tf.keras.Sequential([layers.Conv2D(2, 3)]))


@pytest.mark.parametrize("exclude", [True, False])
def test_tensorflow_decides_as_numpy_does(exclude):
    model = randomized(build_model("resnet20", (16, 16, 1), 10))
    weights = model.get_weights()
    weights[0][..., 3] = weights[1][3] = 0
    for site in filter_sites(Graph.of(model))[:4]:
        new, decision = prune_filter_site(weights, site, 0.2, exclude_zeroed=exclude)
        traced = tf.function(
            lambda *w: prune_filter_site(
                list(w), site, 0.2, exclude_zeroed=exclude, xp=tf.experimental.numpy
            ),
            autograph=False,
        )
        new_tf, decision_tf = traced(*weights)
        assert filter_record(site, decision) == filter_record(site, decision_tf)
        for a, b in zip(new, new_tf):
            np.testing.assert_array_equal(a, b)
