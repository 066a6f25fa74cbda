"""What cannot be pruned is refused in one line, and the model stays as it was."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import (
    FLAP,
    FilterPruning,
    PairPruning,
    at,
    between,
    every,
    explain,
    prune_filters,
    prune_pairs,
)

layers, keras = tf.keras.layers, tf.keras
PRUNINGS = [prune_filters, prune_pairs, explain]


def digest(model):
    return [hashlib.sha256(np.ascontiguousarray(w)).hexdigest() for w in model.get_weights()]


def lenet():
    return build_model("lenet5", (28, 28, 1), 10)


def refused(prune, model, message, *arguments, **options):
    before = digest(model) if model.built else None
    with pytest.raises(UserError, match=message) as error:
        prune(model, *arguments, **options)
    assert "\n" not in str(error.value)
    assert before is None or digest(model) == before


@pytest.mark.parametrize("prune", PRUNINGS)
@pytest.mark.parametrize("fraction", [-0.01, 1, 1.5, float("nan"), "1%", None, True])
def test_fractions(prune, fraction):
    refused(prune, lenet(), f"fraction: .*got {fraction!r}", fraction)


@pytest.mark.parametrize("prune", PRUNINGS)
def test_a_fraction_of_nothing_prunes_nothing(prune):
    model = lenet()
    before = digest(model)
    records = prune(model, 0)
    assert digest(model) == before
    assert not any(getattr(r, "pruned", ()) or getattr(r, "removed", ()) for r in records.values())


@pytest.mark.parametrize(
    "prune, message",
    [
        (prune_filters, "has no layer with filters to prune \\(no layer of that kind\\)"),
        (prune_pairs, "has no layer with unit pairs to prune \\(head: output layer\\)"),
        (explain, "has no layer with filters or unit pairs to prune \\(head: output layer\\)"),
    ],
)
def test_models_without_a_prunable_layer(prune, message):
    refused(prune, keras.Sequential([layers.Input((3,)), layers.Dense(2, name="head")]), message)


@pytest.mark.parametrize("prune", PRUNINGS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(prune, value):
    model = lenet()
    weights = model.get_weights()
    weights[5][3] = value
    model.set_weights(weights)
    refused(prune, model, "weight '.*dense_1/bias.*' .*NaN or infinity")


@pytest.mark.parametrize(
    "prune, name, message",
    [
        (prune_pairs, "logits", "layers: 'logits' cannot be pruned \\(output layer\\)"),
        (explain, "logits", "layers: 'logits' cannot be pruned \\(output layer\\)"),
        (prune_pairs, "dense_3", "layers: no prunable layer 'dense_3'; did you mean"),
        (prune_filters, "dense_1", "layers: no prunable layer 'dense_1'.*known: conv_1, conv_2"),
    ],
)
def test_layers_named_for_pruning(prune, name, message):
    refused(prune, lenet(), message, layers=[name])


def test_an_output_convolution_named_for_pruning():
    model = keras.Sequential(
        [
            layers.Input((5, 5, 1)),
            layers.Conv2D(4, 3, name="first"),
            layers.Conv2D(2, 3, name="last"),
        ]
    )
    refused(prune_filters, model, "'last' cannot be pruned \\(output layer\\)", layers=["last"])
    assert list(prune_filters(model, layers=["first"])["first"].pruned)


@pytest.mark.parametrize("prune", PRUNINGS)
def test_models_without_a_graph(prune):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    own = Own()
    own(np.ones((1, 3), np.float32))
    refused(prune, own, "'own' has no layer graph")
    refused(prune, keras.Sequential([layers.Dense(2)], name="open"), "'open' has no layer graph")
    with pytest.raises(UserError, match="a dict is not a Keras model"):
        prune({})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"score": "impct"}, "score: unknown name 'impct'; did you mean 'impact'"),
        ({"compat": "flop"}, "compat: unknown name 'flop'; did you mean 'flap'"),
        ({"alpha": -1}, "alpha: .*got -1"),
        ({"beta": "x"}, "beta: .*got 'x'"),
        ({"input_range": (1, 0)}, "input_range"),
        ({"compat": "flap", "input_range": ([0, 0, 0], [1, 1, 1])}, "two numbers, with compat"),
    ],
)
def test_knobs_of_pair_pruning(options, message):
    refused(prune_pairs, lenet(), message, 0.01, **options)
    with pytest.raises(UserError, match=message):
        PairPruning(**options)


@pytest.mark.parametrize("callback", [FilterPruning, PairPruning, FLAP])
@pytest.mark.parametrize(
    "options, message",
    [
        ({"fraction": 1}, "fraction: .*got 1"),
        ({"by": "batch"}, "by: unknown name 'batch'"),
        ({"schedule": 5}, "schedule: .*got 5"),
        ({"hold": None}, "hold: .*got None"),
    ],
)
def test_arguments_of_callbacks(callback, options, message):
    with pytest.raises(UserError, match=message):
        callback(**options)


def test_what_a_convolution_shares_is_left_alone():
    """A norm that also reads another layer keeps its channels; a Dense read with others is kept."""
    inputs = keras.Input((6, 6, 2))
    norm = layers.BatchNormalization(name="norm")
    x, y = (norm(layers.Conv2D(3, 3, name=name)(inputs)) for name in ("a", "b"))
    x = layers.Flatten()(layers.Add()([x, y]))
    first, second = (layers.Dense(4, name=name)(x) for name in ("c", "d"))
    head = layers.Dense(2, name="head")
    model = keras.Model(inputs, [head(first), head(second)])
    gamma = norm.gamma.numpy()
    records = prune_filters(model, 0.3)
    assert len(records["a"].pruned) == 1 and np.array_equal(norm.gamma.numpy(), gamma)
    refused(prune_pairs, model, "c: 'head' behind it also reads another layer")


@pytest.mark.parametrize(
    "between, reason",
    [
        (layers.LayerNormalization(name="mixer"), "LayerNormalization 'mixer' mixes its units"),
        (layers.Activation("softmax", name="mixer"), "softmax of 'mixer' mixes its units"),
        (layers.Softmax(name="mixer"), "read by 'mixer' \\(Softmax\\)"),
    ],
)
def test_units_that_something_mixes_are_left_alone(between, reason):
    model = keras.Sequential(
        [layers.Input((3,)), layers.Dense(4, name="first"), between, layers.Dense(2)]
    )
    refused(prune_pairs, model, reason)


def test_an_output_that_is_also_read_stays_whole():
    inputs = keras.Input((3,))
    first = layers.Dense(4, name="first")(inputs)
    model = keras.Model(inputs, [first, layers.Dense(2)(first)])
    refused(prune_pairs, model, "first: output layer")


def test_a_norm_over_another_axis_is_not_taken_for_the_channels():
    inputs = keras.Input((4, 3))
    x = layers.BatchNormalization(axis=1, name="norm")(layers.Dense(4, name="wide")(inputs))
    refused(prune_pairs, keras.Model(inputs, layers.Dense(1)(x)), "'norm' normalises another axis")
    square = keras.Sequential(
        [
            layers.Input((8, 2)),
            layers.Conv1D(8, 3, padding="same", name="conv"),
            layers.BatchNormalization(axis=1),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    refused(prune_filters, square, "conv: the normalisation behind it is not one channel a filter")


def test_units_that_feed_back_into_their_own_layer_are_left_alone():
    shared, reader = layers.Dense(4, name="shared"), layers.Dense(4, name="reader")
    inputs = keras.Input((4,))
    itself = keras.Model(inputs, layers.Dense(1)(shared(shared(inputs))))
    refused(prune_pairs, itself, "shared: ")
    inputs = keras.Input((4,))
    turns = keras.Model(inputs, layers.Dense(1)(reader(shared(reader(shared(inputs))))))
    refused(prune_pairs, turns, "its units feed back into it")


class Transposed(layers.Dense):
    def call(self, inputs):
        return tf.matmul(inputs, self.kernel, transpose_b=True)


@pytest.mark.parametrize(
    "model, message",
    [
        ([layers.Dense(4, activation=layers.Softmax(), name="first")], "softmax of 'first' mixes"),
        ([layers.Dense(4, name="first"), Transposed(4, name="own")], "read by 'own' \\(Transposed"),
        ([Transposed(4, name="own")], "its class Transposed computes something of its own"),
    ],
)
def test_dense_layers_that_are_something_else_are_left_alone(model, message):
    refused(prune_pairs, keras.Sequential([layers.Input((4,)), *model, layers.Dense(1)]), message)


def test_only_residual_blocks_count_as_residual():
    one, other = keras.Input((6, 6, 1)), keras.Input((6, 6, 1))
    x = layers.Conv2D(3, 3, padding="same", name="stem")(one)
    y = layers.Conv2D(3, 3, padding="same", name="side")(other)
    x = layers.Add()([x, y])
    inner = layers.Conv2D(3, 3, padding="same", name="inner")(x)
    x = layers.Add()([x, inner])
    aux = layers.Dense(2)(layers.Flatten()(x))
    x = layers.Conv2D(3, 3, name="last")(x)
    model = keras.Model([one, other], [aux, layers.Dense(2)(layers.Flatten()(x))])
    records = prune_filters(model, include_residual=False)
    assert {name: record.skipped for name, record in records.items()} == {
        "stem": None,
        "side": None,
        "inner": "inside a residual block",
        "last": None,
    }


def test_filters_of_layers_left_alone_are_counted():
    model = keras.Sequential(
        [
            layers.Input((9, 9, 4)),
            layers.Conv2D(5, 3),
            layers.Conv2DTranspose(16, 3, name="up"),
            layers.SeparableConv2D(7, 3, name="separable"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    records = prune_filters(model)
    assert [records[name].filters for name in ("up", "separable", "depthwise")] == [16, 7, 7]


def with_two_inputs(layer):
    inputs = keras.Input((4,))
    x, y = (layers.Dense(4, activation="relu", name=name)(inputs) for name in ("one", "two"))
    x = layers.Dense(4, name="three")(layer(name="odd")([x, y]))
    return keras.Model(inputs, layers.Dense(2)(x))


def test_layers_of_several_inputs_that_bounds_cannot_pass_are_named():
    model = with_two_inputs(layers.Multiply)
    saliency = explain(model, score="saliency")
    with pytest.warns(
        UserWarning,
        match="pairs of 'three' are chosen by saliency: no bounds "
        "pass layer 'odd' \\(Multiply with 2 inputs",
    ) as warned:
        records = prune_pairs(model)
    assert len(warned) == 1 and records["three"].score == "saliency"
    assert records["three"].removed == saliency["three"].removed != ()


@pytest.mark.parametrize(
    "callback",
    [
        lambda: FLAP(0.1, every(5), input_range=([0.0] * 3, [1.0] * 3)),
        lambda: PairPruning(0.1, compat="flap"),
    ],
)
def test_what_would_stop_a_later_pruning_stops_the_training_before_it(callback):
    model = with_two_inputs(layers.Multiply)
    model.compile("sgd", "mse")
    before = digest(model)
    with pytest.raises(UserError):
        model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0, callbacks=[callback()])
    assert digest(model) == before


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: at([1, 5]),
        at,
        lambda: at("5"),
        lambda: between(5, 1),
        lambda: between("1"),
        lambda: every(0),
        lambda: every(True),
    ],
)
def test_schedules_that_would_never_be_due(wrong):
    with pytest.raises(UserError, match="must be .*got"):
        wrong()


@pytest.mark.parametrize(
    "prune, options, message",
    [
        (prune_filters, {"include_residual": "no"}, "include_residual: .*got 'no'"),
        (prune_filters, {"layers": "conv_1"}, "layers: .*got 'conv_1'"),
        (prune_pairs, {"layers": 5}, "layers: .*got 5"),
        (prune_pairs, {"score": ["impact"]}, "score: unknown name"),
        (prune_pairs, {"input_range": (-1e308, 1e308)}, "at most 1e\\+30 in size"),
    ],
)
def test_arguments_of_other_types(prune, options, message):
    refused(prune, lenet(), message, 0.01, **options)


def test_layers_may_come_from_a_generator():
    records = prune_pairs(lenet(), layers=(name for name in ["dense_2"]))
    assert records["dense_2"].removed and records["dense_1"].skipped == "not named"
