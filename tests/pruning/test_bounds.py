"""Bounds hold for every input in range, and predicted impact for every change of the outputs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import activation_bounds, predicted_impact, prune_filters, prune_pairs
from tfunlearn.pruning.intervals.activations import SHAPES

layers, keras = tf.keras.layers, tf.keras
ROUNDING = 2e-5  # of the width of an interval, for float32


def randomized(model, seed=0):
    """Gives every weight a random value; variances stay positive."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            np.abs(rng.normal(1, 0.3, v.shape)) + 0.1
            if "variance" in getattr(v, "path", v.name)
            else rng.normal(0, 2 / max(1, np.prod(v.shape[:-1])) ** 0.5, v.shape)
            for v in model.weights
        ]
    )
    return model


def inside(values, lo, hi):
    """Asserts lo <= values <= hi up to rounding, for a batch of values."""
    slack = ROUNDING * (1 + np.abs(lo) + np.abs(hi))
    assert np.all(values >= lo - slack) and np.all(values <= hi + slack)


def dense_net():
    return keras.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(8, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(7),
            layers.LeakyReLU(),
            layers.Dropout(0.5),
            layers.Dense(6, activation="sigmoid"),
            layers.Dense(4, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def conv_net():
    return keras.Sequential(
        [
            layers.Input((9, 8, 2)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, strides=2),
            layers.BatchNormalization(scale=False),
            layers.ReLU(),
            layers.MaxPooling2D(2, 1, "same"),
            layers.Conv2D(6, (2, 3), padding="same", dilation_rate=2, activation="elu"),
            layers.AveragePooling2D(2, 1, padding="same"),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(7, activation="softplus"),
            layers.Dense(3),
        ]
    )


def residual_net():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    y = layers.BatchNormalization()(y)
    x = layers.ReLU(max_value=6.0)(layers.Add()([x, y]))
    side = layers.GlobalMaxPooling2D()(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), side])
    x = layers.Dense(9, activation="relu")(x)
    x = layers.Dense(8, activation="selu")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def thin_net():
    """Grouped, depthwise and separable convolutions in one dimension and two."""
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, groups=2, activation="relu")(inputs)
    x = layers.DepthwiseConv2D(2, depth_multiplier=2, activation="relu")(x)
    x = layers.SeparableConv2D(5, 2, strides=2, padding="same", activation="relu")(x)
    x = layers.Permute((3, 1, 2))(layers.UpSampling2D(2)(x))
    x = layers.Reshape((-1, 6))(layers.Cropping2D(((1, 0), (0, 0)))(x))
    x = layers.Conv1D(5, 3, padding="causal", dilation_rate=2)(x)
    x = layers.PReLU(shared_axes=[1])(x)
    x = layers.LayerNormalization()(layers.MaxPooling1D(2)(x))
    x = layers.Dense(6, activation="gelu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(5, activation="silu")(x)))


def volume_net():
    inputs = keras.Input((5, 5, 5, 1))
    x = layers.Conv3D(4, 2, padding="same", activation="relu")(layers.Rescaling(2.0, -1.0)(inputs))
    x = layers.GroupNormalization(2)(x)
    x = layers.GlobalAveragePooling3D()(layers.MaxPooling3D(2)(x))
    a, b = layers.Dense(6, activation="relu")(x), layers.Dense(6, activation="relu")(x)
    x = layers.Maximum()([layers.Subtract()([a, b]), layers.Average()([a, b])])
    x = layers.Dense(5, activation="relu")(layers.Minimum()([x, a]))
    return keras.Model(inputs, layers.Dense(2)(x))


def shared_net():
    """One layer called twice, and two outputs, one of which is also read."""
    inputs = keras.Input((6,))
    twice = layers.Dense(6, activation="relu")
    x = layers.Dense(7, activation="relu")(twice(twice(inputs)))
    first = layers.Dense(4)(x)
    return keras.Model(
        inputs,
        [first, layers.Dense(3)(layers.Dense(5)(first)), layers.Dense(2)(layers.ELU(0.7)(x))],
    )


NETS = [dense_net, conv_net, residual_net, thin_net, volume_net, shared_net]
RANGES = [(0.0, 1.0), (-2.0, 0.5)]


def samples(model, low, high, seed):
    """Returns inputs in a range: some inside it, some at its corners."""
    rng = np.random.default_rng(seed)
    shape = (2000, *model.inputs[0].shape[1:])
    x = rng.uniform(low, high, shape)
    x[::2] = np.where(
        rng.random((1000, *shape[1:])) < rng.random((1000, *[1] * (len(shape) - 1))), low, high
    )
    return x.astype(np.float32)


def outputs_of(model, x):
    outputs = model(x)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return np.concatenate([np.reshape(out, (len(x), -1)) for out in outputs], axis=1)


@pytest.mark.parametrize("bounds", RANGES)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("seed", range(2))
def test_every_activation_lies_inside_its_bounds(net, bounds, seed):
    model = randomized(net(), seed)
    found = activation_bounds(model, input_range=bounds)
    names = [layer.name for layer in model.layers]
    assert set(names) <= set(found)
    once = [
        layer
        for layer in model.layers
        if len(layer._inbound_nodes) == 1
        and getattr(layer, "activation", None) is not keras.activations.softmax
    ]
    inner = keras.Model(model.inputs, [layer.output for layer in once])
    for layer, values in zip(once, inner(samples(model, *bounds, seed))):
        lo, hi = found[layer.name]
        assert lo.shape == tuple(values.shape[1:]) and np.all(lo <= hi)
        inside(values.numpy(), lo, hi)
    assert len(once) > len(names) - 3


@pytest.mark.parametrize("bounds", RANGES)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("prune", [prune_filters, prune_pairs])
def test_every_change_of_the_outputs_lies_inside_the_predicted_impact(net, bounds, prune):
    model = randomized(net(), 3)
    for layer in model.layers:
        if getattr(layer, "activation", None) is keras.activations.softmax:
            layer.activation = keras.activations.linear
    x, before = samples(model, *bounds, 4), model.get_weights()
    old = outputs_of(model, x)
    options = {"input_range": bounds} if prune is prune_pairs else {}
    try:
        records = prune(model, 0.3, **options)
    except UserError:
        assert net in ((dense_net, shared_net) if prune is prune_filters else (volume_net,))
        return
    after, change = model.get_weights(), outputs_of(model, x) - old
    model.set_weights(before)
    lo, hi = predicted_impact(model, after, input_range=bounds)
    assert np.abs(change).max() > 0
    inside(change, lo, hi)
    limits = [record.bound for record in records.values() if getattr(record, "bound", None)]
    if limits:
        assert np.abs(change).max() <= sum(limits) * (1 + ROUNDING)


def test_any_change_of_weights_is_bounded():
    model = randomized(residual_net(), 5)
    model.layers[-1].activation = keras.activations.linear
    x, old = samples(model, 0, 1, 6), model.get_weights()
    rng = np.random.default_rng(7)
    new = [w + 0.05 * np.abs(rng.normal(size=w.shape)).astype(np.float32) for w in old]
    lo, hi = predicted_impact(model, new)
    before = outputs_of(model, x)
    model.set_weights(new)
    inside(outputs_of(model, x) - before, lo, hi)


def test_bounds_by_hand():
    # z = (2 x1 - 3 x2 + 1, -x1 - x2) for x1 in [0, 1], x2 in [-1, 2]: [-5, 6], [-3, 1]
    # relu: [0, 6], [0, 1];  4 h1 - 5 h2 - 1: [0 - 5 - 1, 24 - 0 - 1]
    model = keras.Sequential(
        [
            layers.Input((2,)),
            layers.Dense(2, activation="relu", name="a"),
            layers.Dense(1, name="b"),
        ]
    )
    model.set_weights(
        [np.array([[2, -1], [-3, -1]]), np.array([1, 0]), np.array([[4], [-5]]), np.array([-1])]
    )
    found = activation_bounds(model, input_range=([0, -1], [1, 2]))
    assert [end.tolist() for end in found["a"]] == [[0, 0], [6, 1]]
    assert [end.tolist() for end in found["b"]] == [[-6], [23]]


@pytest.mark.parametrize("name", [name for name in SHAPES if hasattr(keras.activations, name)])
def test_activations_are_those_of_keras_and_no_steeper(name):
    shape, x = SHAPES[name], np.linspace(-9, 9, 20001)
    values = np.asarray(getattr(keras.activations, name)(x.astype(np.float32)))
    np.testing.assert_allclose(shape.function(x), values, rtol=1e-4, atol=2e-5)
    slopes = np.diff(shape.function(x)) / np.diff(x)
    assert shape.slopes[0] - 1e-9 <= slopes.min() and slopes.max() <= shape.slopes[1] + 1e-9
    assert slopes.max() > 0.98 * shape.slopes[1]
    if shape.turn is None:
        assert slopes.min() >= -1e-12
    else:
        assert abs(x[np.argmin(shape.function(x))] - shape.turn) < 1e-3


@pytest.mark.parametrize("name", ["lenet5", "mlp", "resnet18-flap", "vgg11"])
def test_models_of_this_package_have_bounds(name):
    model = build_model(name, (28, 28, 1), 10)
    lo, hi = activation_bounds(model)["logits"]
    inside(model(np.random.default_rng(0).random((8, 28, 28, 1), np.float32)).numpy(), lo, hi)


class Doubling(layers.Layer):
    def call(self, x):
        return 2 * x


class SignedDense(layers.Dense):
    def call(self, x):
        return -super().call(x)


@pytest.mark.parametrize(
    "layer, named",
    [
        (Doubling(name="mine"), "'mine' \\(Doubling"),
        (SignedDense(3, name="mine"), "SignedDense"),
        (layers.ReLU(threshold=0.5, name="cut"), "'cut'.*threshold"),
        (layers.Dense(3, activation=lambda x: x * x, name="square"), "'square'.*with activation"),
    ],
)
def test_layers_that_bounds_cannot_pass_are_named(layer, named):
    model = keras.Sequential(
        [layers.Input((4,)), layers.Dense(4, name="first"), layer, layers.Dense(4), layers.Dense(2)]
    )
    with pytest.raises(
        UserError, match=f"no bounds pass layer {named}" if named[0] == "'" else named
    ) as error:
        activation_bounds(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong", [(1, 0), (0, float("nan")), 3, (0, 1, 2), ("a", "b"), (0, [1, 1])]
)
def test_ranges_that_are_none_are_refused(wrong):
    model = keras.Sequential([layers.Input((3,)), layers.Dense(2), layers.Dense(2)])
    with pytest.raises(UserError, match="input_range"):
        activation_bounds(model, input_range=wrong)


def test_dropout_that_is_always_on_and_open_shapes_are_refused():
    inputs = keras.Input((3,))
    x = layers.Dropout(0.5, name="always")(layers.Dense(3)(inputs), training=True)
    with pytest.raises(UserError, match="'always'"):
        activation_bounds(keras.Model(inputs, layers.Dense(2)(x)))
    inputs = keras.Input((None, 3), name="sequence")
    model = keras.Model(inputs, layers.GlobalMaxPooling1D()(layers.Conv1D(2, 2)(inputs)))
    with pytest.raises(UserError, match="'sequence' has an open dimension"):
        activation_bounds(model)
    lo, hi = activation_bounds(model, input_range=(np.zeros((5, 3)), np.ones((5, 3))))["sequence"]
    assert lo.shape == (5, 3) and hi.min() == 1


def test_strides_that_differ_by_axis():
    inputs = keras.Input((6, 7, 2))
    x = layers.DepthwiseConv2D(2, strides=(2, 1), name="thin")(inputs)
    model = randomized(keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(x)))
    point = np.random.default_rng(0).random((6, 7, 2)).astype(np.float32)
    lo, hi = activation_bounds(model, input_range=(point, point))["mean"]
    # by hand: some builds of TensorFlow refuse to call such a layer
    kernel, bias = (w.astype(float) for w in model.get_weights())
    outputs = [
        [
            (point[2 * y : 2 * y + 2, x : x + 2, :, None] * kernel).sum(axis=(0, 1))[:, 0] + bias
            for x in range(6)
        ]
        for y in range(3)
    ]
    np.testing.assert_allclose(lo, np.mean(outputs, axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(hi, lo)


def test_merging_aligns_ranks_as_keras_does():
    inputs, flat = keras.Input((3, 4)), keras.Input((3,))
    y = layers.Dense(4)(layers.Dense(10, name="inner")(flat))
    x = layers.Average()([layers.Dense(4)(inputs), y])
    model = randomized(keras.Model([inputs, flat], layers.Dense(1)(layers.Flatten()(x))), 2)
    rng = np.random.default_rng(1)
    x = [rng.random((500, 3, 4)).astype(np.float32), rng.random((500, 3)).astype(np.float32)]
    before = model(x).numpy()
    record = prune_pairs(model, 0.1, layers=["inner"])["inner"]
    assert 0 < np.abs(model(x) - before).max() <= record.bound


def test_a_layer_called_on_two_shapes_has_one_range():
    inputs = keras.Input((8, 8, 1))
    conv, pool = layers.Conv2D(2, 3, padding="same", name="conv"), layers.GlobalMaxPooling2D
    x = layers.Add()([pool()(conv(inputs)), pool()(conv(layers.MaxPooling2D()(inputs)))])
    lo, hi = activation_bounds(randomized(keras.Model(inputs, layers.Dense(2)(x))))["conv"]
    assert lo.shape == hi.shape == () and lo < hi


class Tripled(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, 3 * kernel)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Tripled(3, 2, name="odd"),
        lambda: layers.ELU(-1.0, name="odd"),
        lambda: layers.BatchNormalization(axis=[1, 2], name="odd"),
        lambda: layers.Activation(tf.nn.log_softmax, name="odd"),
    ],
)
def test_what_could_break_the_bounds_is_refused(layer):
    try:
        odd = layer()
    except TypeError:
        pytest.skip("this Keras refuses the layer itself")
    model = keras.Sequential(
        [layers.Input((6, 5, 4)), odd, layers.Flatten(), layers.Dense(4), layers.Dense(2)]
    )
    with pytest.raises(UserError, match="no bounds pass layer 'odd'"):
        activation_bounds(model)


@pytest.mark.parametrize("layer", [layers.BatchNormalization, lambda: layers.Dropout(0.5)])
def test_training_given_by_position_counts(layer):
    inputs = keras.Input((3,))
    try:
        x = layer()(layers.Dense(4)(inputs), True)
    except ValueError:
        pytest.skip("this Keras takes `training` by name only")
    with pytest.raises(UserError, match="no bounds pass"):
        activation_bounds(keras.Model(inputs, layers.Dense(2)(x)))
