"""Effects of channels: equal to zeroing one channel after the other, by hand, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning.channels import channel_layers, without_channels
from tfunlearn.unlearning import ChannelEffects, channel_effects, select_channels, undecided_layers

layers = tf.keras.layers
KERNELS = (layers.Conv1D, layers.Conv2D, layers.Dense)


def hesitant_probe(model, count, seed=0):
    """Returns the images whose two best classes lie closest, out of many, and the best classes."""
    images = np.random.default_rng(seed).random((300, *model.input_shape[1:])).astype(np.float32)
    outputs = np.concatenate([model(images[n : n + 100], training=False) for n in (0, 100, 200)])
    best = np.sort(outputs, axis=1)
    rows = np.argsort(best[:, -1] - best[:, -2])[:count]
    return images[rows], outputs[rows].argmax(axis=1)


def accuracy_without(model, layer, channel, images, labels, more=()):
    """Returns accuracy with one channel's kernel slice and bias zeroed; weights are put back."""
    touched = [weight for weight in (layer.kernel, layer.bias, *more) if weight is not None]
    before = [weight.numpy() for weight in touched]
    for weight, value in zip(touched, before):
        silent = value.copy()
        silent[..., channel] = 0
        weight.assign(silent)
    try:
        return np.mean(np.argmax(model.forward(images).numpy(), axis=1) == labels)
    finally:
        for weight, value in zip(touched, before):
            weight.assign(value)


def compare(model, images, labels, *, every=1, parts="filter", **options):
    model.forward = tf.function(lambda x: model(x, training=False))
    found = channel_effects(model, images, labels, parts=parts, **options)
    base = np.mean(np.argmax(model.forward(images).numpy(), axis=1) == labels)
    assert found.accuracy == base and found.examples == len(labels)
    names = [layer.name for layer in model.layers if isinstance(layer, KERNELS)]
    assert list(found) == names
    checked, number = 0, 0
    for name in names:
        layer = model.get_layer(name)
        norm = next(
            (
                model.get_layer(n)
                for n in (f"{name[:-5]}_norm", f"{name}_norm")
                if any(n == other.name for other in model.layers)
            ),
            None,
        )
        more = [norm.gamma, norm.beta] if parts == "filter+bn" and norm is not None else []
        for channel in range(len(found[name])):
            number += 1
            if number % every == 0:
                without = accuracy_without(model, layer, channel, images, labels, more)
                assert found[name][channel] == pytest.approx(base - without, abs=1e-12), (
                    name,
                    channel,
                )
                checked += 1
    assert any((effect > 0).any() for effect in found.values())
    return found, checked


def perturbed(model, seed=0):
    """Moves normalisation statistics and biases away from their starting values."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            w if w.ndim > 1 else (w + rng.uniform(0.05, 0.4, w.shape)).astype("f")
            for w in model.get_weights()
        ]
    )
    return model


def test_lenet5_every_channel():
    model = perturbed(build_model("lenet5", (28, 28, 1), 10, seed=1))
    before = model.get_weights()
    _, checked = compare(model, *hesitant_probe(model, 40))
    assert checked == 6 + 16 + 120 + 84 + 10
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("parts", ["filter", "filter+bn"])
def test_resnet20(parts):
    model = perturbed(build_model("resnet20", (32, 32, 3), 10, seed=1))
    _, checked = compare(
        model,
        *hesitant_probe(model, 5),
        parts=parts,
        every=6 if parts == "filter" else 12,
        memory=2**26,
    )
    assert checked == 794 // (6 if parts == "filter" else 12)


def test_vgg11_every_sixtieth_channel():
    model = perturbed(build_model("vgg11", (32, 32, 3), 10, seed=1))
    _, checked = compare(model, *hesitant_probe(model, 2), every=60)
    assert checked == 2762 // 60


def odd_model():
    """A net with a layer called twice, activations of all kinds, skips, and a softmax at its end."""
    inputs = layers.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="sigmoid", name="first")(inputs)
    skip = x
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(x)
    x = layers.GroupNormalization(groups=2, name="grouped_norm")(x)
    x = layers.Multiply()([layers.Add()([skip, x]), skip])
    twice = layers.Conv2D(4, 1, activation="tanh", name="twice")
    x = twice(twice(x))
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Dense(5, activation="softmax", name="mixing")(x)
    x = layers.Reshape((-1, 5))(x)
    x = layers.Conv1D(3, 4, strides=2, activation="relu", name="line")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    outputs = layers.Dense(6, activation="softmax", name="scores")(x)
    return tf.keras.Model(inputs, outputs)


@pytest.mark.parametrize("memory", [1, 2**14, 2**30])
def test_any_functional_graph(memory):
    model = perturbed(odd_model())
    _, checked = compare(model, *hesitant_probe(model, 30), memory=memory)
    assert checked == 4 + 4 + 4 + 5 + 3 + 6


def test_masks_travel_along():
    inputs = layers.Input((6, 3))
    x = layers.Dense(4, name="each")(layers.Masking(0.0)(inputs))
    x = layers.GlobalAveragePooling1D()(x)
    model = perturbed(tf.keras.Model(inputs, layers.Dense(3, name="scores")(x)))
    images, _ = hesitant_probe(model, 30)
    images[:, 3:] = 0
    compare(model, images, np.argmax(model(images), axis=1))


def test_what_is_no_row_of_an_example_is_not_tiled():
    inputs = layers.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same", name="first")(inputs)
    y = layers.Conv2D(3, 1, name="second")(inputs)
    x = BatchMean()([x, y])
    outputs = layers.Dense(4, name="scores")(layers.Flatten()(x))
    model = perturbed(tf.keras.Model(inputs, outputs))
    _, checked = compare(model, *hesitant_probe(model, 20))
    assert checked == 3 + 3 + 4


class BatchMean(layers.Layer):
    """Divides one input by the mean of the other over all examples."""

    def call(self, inputs):
        return inputs[0] / (1 + tf.reduce_mean(inputs[1]))


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("norm", ["BatchNormalization", "GroupNormalization", "LayerNormalization"])
def test_channels_with_their_norm(norm, scale, center):
    options = dict(groups=2) if norm == "GroupNormalization" else {}
    inputs = layers.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="first")(inputs)
    x = getattr(layers, norm)(scale=scale, center=center, **options)(x)
    x = layers.Flatten()(layers.ReLU()(x))
    model = perturbed(tf.keras.Model(inputs, layers.Dense(4, name="scores")(x)))
    images, labels = hesitant_probe(model, 20)
    found = channel_effects(model, images, labels, parts="filter+bn")
    before = model.get_weights()
    for layer in channel_layers(model, "filter+bn"):
        for channel in range(layer.channels):
            model.set_weights(without_channels(before, [layer], {layer.layer: [channel]}))
            accuracy = np.mean(np.argmax(model(images, training=False), axis=1) == labels)
            assert found[layer.layer][channel] == pytest.approx(found.accuracy - accuracy)
            model.set_weights(before)


def test_layers_that_insist_on_training_are_refused():
    inputs = layers.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x, training=True)
    model = tf.keras.Model(inputs, layers.Dense(2, name="scores")(layers.Flatten()(x)))
    before = model.get_weights()
    with pytest.raises(UserError, match="layer 'norm' .*training=True"):
        channel_effects(model, np.ones((4, 6, 6, 2), np.float32), np.array([0, 1, 0, 1]))
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


def test_losses_of_a_saturated_softmax():
    inputs = layers.Input((2,))
    model = tf.keras.Model(inputs, layers.Dense(2, activation="softmax", name="scores")(inputs))
    model.set_weights([np.eye(2) * 20, np.zeros(2)])
    found = channel_effects(model, np.array([[3, 1]], np.float32), np.array([1]))
    # logits 60, 20: loss 40; without unit 0: 0, 20; without unit 1: 60, 0
    np.testing.assert_allclose(found.losses["scores"], [-40, 20], atol=1e-4)


def by_hand():
    """Returns a Dense net whose effects can be worked out: two units, two classes."""
    inputs = layers.Input((2,))
    x = layers.Dense(2, name="hidden")(inputs)
    model = tf.keras.Model(inputs, layers.Dense(2, name="scores")(x))
    model.set_weights([np.eye(2), np.array([0, 0.5]), np.eye(2), np.zeros(2)])
    return model


def test_by_hand():
    # hidden = (x0, x1 + 0.5), scores = hidden. Without hidden unit 0 the scores are (0, x1 + 0.5):
    # class 1 wins everywhere. Without unit 1 they are (x0, 0): class 0 wins where x0 >= 0.
    probe = np.array([[3, 1], [2, 0], [-1, 0], [1, 0.25]], np.float32)
    labels = np.array([0, 0, 1, 0])
    found = channel_effects(by_hand(), probe, labels)
    assert found.accuracy == 1 and found.resolution == 0.25
    assert found["hidden"].tolist() == [0.75, 0]  # unit 1: (3,0) (2,0) (-1,0) (1,0), all right
    assert found["scores"].tolist() == [0.75, 0]
    losses = [np.log1p(np.exp(-d)) for d in (1.5, 1.5, 1.5, 0.25)]  # unit 0 stays: x0 - x1 - 0.5
    without = [np.log1p(np.exp(-d)) for d in (3, 2, 1, 1)]
    assert found.losses["hidden"][1] == pytest.approx(np.mean(without) - np.mean(losses), abs=1e-6)


def test_uint8_images_count_as_unit_range():
    model = build_model("mlp", (4, 4, 1), 3, seed=0)
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
    labels = np.arange(20) % 3
    one = channel_effects(model, images, labels)
    other = channel_effects(model, images.astype(np.float32) / np.float32(255), labels)
    assert all((one[name] == other[name]).all() for name in one)


def test_some_layers_and_progress():
    seen = []

    def track(steps):
        seen.append(len(steps))
        yield from steps

    model = build_model("lenet5", (28, 28, 1), 10, seed=1)
    found = channel_effects(model, *hesitant_probe(model, 5), layers=["conv_2"], track=track)
    assert list(found) == ["conv_2"] and len(found["conv_2"]) == 16 and seen == [1]


def test_ranking_breaks_ties_by_loss_then_index():
    effects = ChannelEffects(
        {"a": np.array([0, 0.5, 0, 0, 0.5])}, {"a": np.array([0.1, 0.2, 0.3, 0.1, 0.2])}, 1.0, 2
    )
    assert effects.ranked("a").tolist() == [1, 4, 2, 0, 3]


@pytest.mark.parametrize(
    "channels, delta, count",
    [(16, 0.05, 1), (16, 0.3, 5), (100, 0.07, 7), (3, 1.0, 3), (64, 0.2, 13), (10, 1e-9, 1)],
)
def test_how_many_channels(channels, delta, count):
    effects = ChannelEffects({"a": np.arange(channels) / channels}, {"a": np.zeros(channels)}, 1, 9)
    chosen = select_channels(effects, delta)
    assert chosen["a"].tolist() == list(range(channels))[::-1][:count]


def test_controls():
    effects = ChannelEffects({"a": np.array([0.3, 0.1, 0.2, 0])}, {"a": np.zeros(4)}, 1, 9)
    assert select_channels(effects, 0.5, selection="unimportant")["a"].tolist() == [3, 1]
    drawn = [
        tuple(select_channels(effects, 0.5, selection="random", rng=np.random.default_rng(n))["a"])
        for n in range(40)
    ]
    assert len(set(drawn)) > 6 and all(len(set(pair)) == 2 for pair in drawn)
    assert drawn[0] == tuple(
        select_channels(effects, 0.5, selection="random", rng=np.random.default_rng(0))["a"]
    )


def test_where_the_loss_decided():
    effects = ChannelEffects(
        {"a": np.array([0.5, 0.5, 0]), "b": np.array([0.5, 0.2, 0])},
        {"a": np.zeros(3), "b": np.zeros(3)},
        1,
        2,
    )
    assert undecided_layers(effects, 0.3) == ["a"]
    assert undecided_layers(effects, 0.6) == []
    assert undecided_layers(effects, 1.0) == []
    assert undecided_layers(effects, 0.3, selection="random") == []
    assert undecided_layers(effects, 0.6, selection="unimportant") == ["a"]


def without_kernels():
    inputs = layers.Input((4, 4, 3))
    return tf.keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))


@pytest.mark.parametrize(
    "make, arguments, message",
    [
        (without_kernels, {}, "a model with a Conv or Dense layer"),
        (by_hand, dict(labels=[0, 2]), "labels: .* 0 to 1"),
        (by_hand, dict(labels=[0]), "1 for 2 examples"),
        (by_hand, dict(labels=[0.0, 0.5]), "whole numbers"),
        (by_hand, dict(empty=True), "at least one"),
        (by_hand, dict(layers=["hiden"]), "did you mean 'hidden'"),
        (by_hand, dict(parts="bn"), "channel: unknown name 'bn'"),
        (by_hand, dict(memory=0), "memory: .*got 0"),
    ],
)
def test_what_is_refused(make, arguments, message):
    arguments, model = dict(arguments), make()
    probe = np.zeros((2, *model.input_shape[1:]), np.float32)
    labels = np.array(arguments.pop("labels", [0, 1]))
    if arguments.pop("empty", False):
        probe, labels = probe[:0], labels[:0]
    with pytest.raises(UserError, match=message):
        channel_effects(model, probe, labels, **arguments)


def test_a_probe_too_small_is_named_with_its_resolution():
    effects = ChannelEffects(
        {"a": np.array([0.5, 0.5, 0]), "b": np.array([0.5, 0.2, 0])},
        {"a": np.array([0, 0.1, 0]), "b": np.zeros(3)},
        1,
        8,
    )
    with pytest.warns(
        UserWarning,
        match="effects of 8 examples are multiples of 0.125; in 1 of 2 layers ties were broken",
    ):
        assert select_channels(effects, 0.3)["a"].tolist() == [1]
    effects.examples = 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select_channels(effects, 0.3)
        effects.examples = 8
        select_channels(effects, 0.6)
        select_channels(effects, 0.3, selection="random", rng=np.random.default_rng(0))


@pytest.mark.parametrize("delta", [0, -0.1, 1.01, float("nan"), "0.1", True, None])
def test_delta_that_is_refused(delta):
    effects = ChannelEffects({"a": np.zeros(3)}, {"a": np.zeros(3)}, 1, 9)
    with pytest.raises(UserError, match="delta: .* a share > 0, at most 1"):
        select_channels(effects, delta)


def test_a_nested_model_has_the_effects_of_the_same_model_in_one_piece(rng):
    flat = build_model("lenet5", (16, 16, 1), 3, seed=0)
    inputs, inner = (
        layers.Input((16, 16, 1)),
        layers.Input(flat.get_layer("pool_2").output.shape[1:]),
    )
    x = inner
    for layer in flat.layers[4 if flat.layers[0].name == "conv_1" else 5 :]:
        x = layer(x)
    head = tf.keras.Model(inner, x, name="head")
    body = tf.keras.Model(flat.inputs, flat.get_layer("pool_2").output, name="body")
    nested = tf.keras.Model(inputs, head(body(inputs)))
    probe, labels = rng.random((6, 16, 16, 1), np.float32), rng.integers(0, 3, 6)
    expected, found = (channel_effects(net, probe, labels) for net in (flat, nested))
    assert list(found) == [f"{'body' if 'conv' in name else 'head'}/{name}" for name in expected]
    for (name, effect), own in zip(expected.items(), found.values()):
        np.testing.assert_array_equal(own, effect)
        np.testing.assert_allclose(
            found.losses[f"{'body' if 'conv' in name else 'head'}/{name}"],
            expected.losses[name],
            rtol=1e-5,
            atol=1e-6,
        )


def test_the_forgotten_classes_own_output_units():
    """Two layers, the last of which has a unit for each of four classes; class 2 is forgotten."""
    effects = ChannelEffects(
        {"a": np.array([0.5, 0.2, 0, 0.1]), "last": np.array([0, 0.1, 0.9, 0])},
        {"a": np.zeros(4), "last": np.zeros(4)},
        1,
        100,
    )
    alone = select_channels(effects, 0.25, selection="output-unit", output_units=[2])
    assert alone["a"].tolist() == [] and alone["last"].tolist() == [2]
    for seed in range(8):
        plain = select_channels(effects, 0.25, selection="random", rng=np.random.default_rng(seed))
        both = select_channels(
            effects,
            0.25,
            selection="random+output-unit",
            output_units=[2],
            rng=np.random.default_rng(seed),
        )
        assert both["a"].tolist() == plain["a"].tolist()
        assert set(both["last"]) == {2, *plain["last"]} and both["last"][0] == 2
    assert undecided_layers(effects, 0.25, selection="output-unit") == []
    for units in ([], [4]):
        with pytest.raises(UserError, match="selection: .*got 'output-unit'"):
            select_channels(effects, 0.25, selection="output-unit", output_units=units)
