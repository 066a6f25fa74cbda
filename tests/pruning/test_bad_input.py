"""What cannot be pruned is refused in one line, and the model stays as it was."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import (
    FLAP, FilterPruning, PairPruning, explain, prune_filters, prune_pairs)

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
    refused(prune, lenet(), "fraction: .* allowed is 0 <= fraction < 1", fraction)


@pytest.mark.parametrize("prune", PRUNINGS)
def test_a_fraction_of_nothing_prunes_nothing(prune):
    model = lenet()
    before = digest(model)
    records = prune(model, 0)
    assert digest(model) == before
    assert not any(getattr(r, "pruned", ()) or getattr(r, "removed", ()) for r in records.values())


@pytest.mark.parametrize("prune, message", [
    (prune_filters, "has no layer with filters to prune \\(no layer of that kind\\)"),
    (prune_pairs, "has no layer with unit pairs to prune \\(head: output layer\\)"),
    (explain, "has no layer with filters or unit pairs to prune \\(head: output layer\\)")])
def test_models_without_a_prunable_layer(prune, message):
    refused(prune, keras.Sequential([layers.Input((3,)), layers.Dense(2, name="head")]), message)


@pytest.mark.parametrize("prune", PRUNINGS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(prune, value):
    model = lenet()
    weights = model.get_weights()
    weights[5][3] = value
    model.set_weights(weights)
    refused(prune, model, "weight '.*dense_1/bias.*' holds NaN or infinity")


@pytest.mark.parametrize("prune, name, message", [
    (prune_pairs, "logits", "layers: 'logits' cannot be pruned \\(output layer\\)"),
    (explain, "logits", "layers: 'logits' cannot be pruned \\(output layer\\)"),
    (prune_pairs, "dense_3", "layers: no prunable layer 'dense_3'; did you mean"),
    (prune_filters, "dense_1", "layers: no prunable layer 'dense_1'.*known: conv_1, conv_2")])
def test_layers_named_for_pruning(prune, name, message):
    refused(prune, lenet(), message, layers=[name])


def test_an_output_convolution_named_for_pruning():
    model = keras.Sequential([layers.Input((5, 5, 1)), layers.Conv2D(4, 3, name="first"),
                              layers.Conv2D(2, 3, name="last")])
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
    inner = keras.Sequential([layers.Input((3,)), layers.Dense(4)], name="inner")
    nested = keras.Sequential([layers.Input((3,)), inner, layers.Dense(2)])
    refused(prune, own, "'own' has no layer graph")
    refused(prune, keras.Sequential([layers.Dense(2)], name="open"), "'open' has no layer graph")
    refused(prune, nested, "'inner' is itself a model")
    with pytest.raises(UserError, match="a dict is not a Keras model"):
        prune({})


@pytest.mark.parametrize("options, message", [
    ({"score": "impct"}, "score: unknown name 'impct'; did you mean 'impact'"),
    ({"compat": "flop"}, "compat: unknown name 'flop'; did you mean 'flap'"),
    ({"alpha": -1}, "alpha: -1 is not allowed; allowed is a number >= 0"),
    ({"beta": "x"}, "beta: 'x' is not allowed"), ({"input_range": (1, 0)}, "input_range"),
    ({"compat": "flap", "input_range": ([0, 0, 0], [1, 1, 1])}, "two numbers, with compat")])
def test_knobs_of_pair_pruning(options, message):
    refused(prune_pairs, lenet(), message, 0.01, **options)
    with pytest.raises(UserError, match=message):
        PairPruning(**options)


@pytest.mark.parametrize("callback", [FilterPruning, PairPruning, FLAP])
@pytest.mark.parametrize("options, message", [
    ({"fraction": 1}, "fraction: 1 "), ({"by": "batch"}, "by: unknown name 'batch'"),
    ({"schedule": 5}, "schedule: 5 is not allowed"), ({"hold": None}, "hold: None")])
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


@pytest.mark.parametrize("between, reason", [
    (layers.LayerNormalization(name="mixer"), "LayerNormalization 'mixer' mixes its units"),
    (layers.Activation("softmax", name="mixer"), "softmax of 'mixer' mixes its units"),
    (layers.Softmax(name="mixer"), "read by 'mixer' \\(Softmax\\)")])
def test_units_that_something_mixes_are_left_alone(between, reason):
    model = keras.Sequential([layers.Input((3,)), layers.Dense(4, name="first"), between,
                              layers.Dense(2)])
    refused(prune_pairs, model, reason)


def test_an_output_that_is_also_read_stays_whole():
    inputs = keras.Input((3,))
    first = layers.Dense(4, name="first")(inputs)
    model = keras.Model(inputs, [first, layers.Dense(2)(first)])
    refused(prune_pairs, model, "first: output layer")
