"""Pruning inside model.fit: when, how much, what the logs say, and what survives."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.pruning import FLAP, FilterPruning, PairPruning, at, every

layers, keras = tf.keras.layers, tf.keras


def small_net():
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(10, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Dropout(0.2, seed=1),
            layers.Flatten(),
            layers.Dense(20, activation="relu", name="first"),
            layers.Dense(12, activation="relu", name="second"),
            layers.Dense(3, name="logits"),
        ]
    )


def compiled(model=None):
    keras.utils.set_random_seed(0)
    model = model or small_net()
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


@pytest.fixture
def examples(rng):
    return rng.random((40, 8, 8, 1), np.float32), rng.integers(0, 3, 40)


def fit(model, examples, callbacks, epochs=4, **options):
    history = model.fit(
        *examples,
        batch_size=10,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **options,
    )
    return history.history


def zero_filters(model):
    kernel, bias = model.get_layer("conv").get_weights()
    return set(np.flatnonzero(~kernel.any(axis=(0, 1, 2)) & (bias == 0)).tolist())


def test_filters_go_at_the_epochs_due_and_stay_gone(examples):
    model, callback = compiled(), FilterPruning(0.1, every(2))
    shapes = [w.shape for w in model.get_weights()]
    history = fit(model, examples, [callback])
    assert history["pruned_filters"] == [1, 1, 2, 2]
    assert list(callback.records) == [1, 3]
    gone = {filter_ for records in callback.records.values() for filter_ in records["conv"].pruned}
    assert zero_filters(model) == gone and len(gone) == 2
    gamma, beta = model.get_layer("norm").get_weights()[:2]
    assert not gamma[list(gone)].any() and not beta[list(gone)].any()
    assert [w.shape for w in model.get_weights()] == shapes


def test_momentum_revives_what_is_not_held(examples):
    model = compiled()
    history = fit(model, examples, [FilterPruning(0.1, at(1), hold=False)])
    assert history["pruned_filters"][0] == 1 and history["pruned_filters"][-1] == 0


def test_pairs_go_after_the_steps_due(examples):
    model, callback = compiled(), PairPruning(0.1, every(5, start=3), by="step", limit=0.5)
    history = fit(model, examples, [callback], epochs=2)  # 4 steps an epoch
    assert list(callback.records) == [3, 8]
    assert history["pruned_units"] == [2 + 2, 4 + 4]
    for name, following in (("first", "second"), ("second", "logits")):
        removed = [unit for records in callback.records.values() for unit in records[name].removed]
        kernel, bias = model.get_layer(name).get_weights()
        assert not kernel[:, removed].any() and not bias[removed].any()
        assert not model.get_layer(following).get_weights()[0][removed].any()


def test_steps_taken_several_at_a_time_are_not_missed(examples):
    model = small_net()
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), steps_per_execution=4
    )
    callback = PairPruning(0.1, at(2, 7), by="step")
    fit(model, examples, [callback], epochs=2)
    assert len(callback.records) == 2


def test_flap_prunes_both_and_tells_tensorboard(examples, tmp_path):
    model, callback = compiled(), FLAP(0.1, at(2), score="saliency")
    fit(model, examples, [callback, keras.callbacks.TensorBoard(tmp_path)], epochs=2)
    assert set(callback.records[2]) == {"conv", "first", "second", "logits"}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("events*"))
    assert b"pruned_filters" in written and b"pruned_units" in written


@pytest.mark.parametrize(
    "callback",
    [
        FilterPruning(0.1, every(2, start=2), by="step", include_residual=False, layers=["conv"]),
        PairPruning(0.2, at(3), hold=False, compat="flap", input_range=(-1.0, 1.0), alpha=1.0),
        FLAP(0.05, every(3), zero_incoming=False, beta=0.0),
    ],
)
def test_configuration_survives_json(callback):
    config = json.loads(json.dumps(callback.get_config()))
    assert type(callback).from_config(config).get_config() == callback.get_config()


def test_all_prunings_together_take_a_share_of_a_layer(examples):
    """10 filters and 20, 12 units: at most 2, 4 and 2 of them, however often it prunes."""
    callback = FLAP(0.1, every(1))
    history = fit(compiled(), examples, [callback])
    assert history["pruned_filters"] == [1, 2, 2, 2] and history["pruned_units"] == [4, 6, 6, 6]
    spared = [
        [records[name].spared for name in ("conv", "first", "second")]
        for records in callback.records.values()
    ]
    assert spared == [[0, 0, 0], [0, 0, 2], [1, 2, 2], [1, 2, 2]]
    assert FLAP(0.3).limit == 0.3 and FLAP(0.01).limit == 0.2
    with pytest.raises(UserError, match="limit: .*at least.*got 0.1"):
        FLAP(0.2, limit=0.1)


def test_filters_and_pairs_are_switched_on_and_off_each(examples):
    for options, kinds in (
        ({"pairs": False}, {"pruned_filters"}),
        ({"filters": False}, {"pruned_units"}),
    ):
        history = fit(compiled(), examples, [FLAP(0.1, **options)], epochs=1)
        assert kinds == {name for name in history if name.startswith("pruned")}
    with pytest.raises(UserError, match="filters and pairs"):
        FLAP(0.1, filters=False, pairs=False)


def test_zeroed_filters_may_stay_in_the_ranking(examples):
    callback = FLAP(0.1, every(1), exclude_zeroed=False, pairs=False, limit=0.9)
    history = fit(compiled(), examples, [callback])
    assert history["pruned_filters"] == [1] * 4
    assert len({records["conv"].pruned for records in callback.records.values()}) == 1


def test_a_schedule_of_ones_own():
    own = lambda epoch: epoch == 2
    callback = FLAP(0.1, own)
    assert FLAP.from_config(callback.get_config()).schedule is own


@pytest.mark.parametrize("by, schedule", [("epoch", every(2)), ("step", every(6, start=2))])
def test_training_that_is_saved_loaded_and_resumed_ends_the_same(examples, tmp_path, by, schedule):
    whole, part = compiled(), compiled()
    part.set_weights(whole.get_weights())
    fit(whole, examples, [FLAP(0.1, schedule, by=by, limit=0.5)])
    first = FLAP(0.1, schedule, by=by, limit=0.5)
    fit(part, examples, [first], epochs=2)
    part.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    second = FLAP.from_config(first.get_config())
    history = fit(loaded, examples, [second], initial_epoch=2)
    assert history["pruned_filters"][0] >= len(zero_filters(part))
    assert zero_filters(part) < zero_filters(loaded)
    assert not set(first.records) & set(second.records)
    kinds = [type(layer) for layer in loaded.layers]
    assert kinds == [type(layer) for layer in whole.layers]
    # Dropout draws anew after loading, so the weights differ; how much is pruned does not
    assert len(zero_filters(loaded)) == len(zero_filters(whole))


def test_a_model_built_by_its_first_batch(examples):
    model = compiled(
        keras.Sequential([layers.Flatten(), layers.Dense(20, activation="relu"), layers.Dense(3)])
    )
    history = fit(model, examples, [PairPruning(0.1, every(1))], epochs=2)
    assert history["pruned_units"] == [2, 4]


def test_a_model_without_a_prunable_layer_is_refused_before_training(examples):
    model = compiled(
        keras.Sequential(
            [layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, name="logits")]
        )
    )
    before = model.get_weights()
    with pytest.raises(UserError, match="no layer with filters or unit pairs"):
        fit(model, examples, [FLAP()])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_averages_of_weights_do_not_undo_the_pruning(examples):
    model = small_net()
    try:
        optimizer = keras.optimizers.Adam(0.01, use_ema=True)
    except (TypeError, ValueError):
        pytest.skip("this Keras keeps no averages")
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, examples, [FLAP(0.2, at(1))], epochs=2)
    assert len(zero_filters(model)) == 2
    assert (~model.get_layer("first").get_weights()[0].any(axis=0)).sum() == 4


def test_what_starts_at_zero_is_free_to_learn(examples):
    model = compiled(
        keras.Sequential(
            [
                layers.Input((8, 8, 1)),
                layers.Flatten(),
                layers.Dense(16, activation="relu"),
                layers.Dense(3, kernel_initializer="zeros", name="head"),
            ]
        )
    )
    history = fit(model, examples, [PairPruning(0.1, at(99))])
    assert model.get_layer("head").get_weights()[0].any()
    assert history["pruned_units"] == [0] * 4


class OwnOptimizer(keras.Sequential):
    """Steps an optimizer of its own, which the callback cannot see."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True)[:, 0] - tf.cast(y, tf.float32)))
        variables = self.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables)):
            variable.assign(variable - 0.01 * gradient)
        return {"loss": loss}


def test_batches_are_counted_where_the_optimizer_does_not_step(examples):
    model = OwnOptimizer(
        [
            layers.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(20, activation="relu"),
            layers.Dense(1),
        ]
    )
    model.compile("sgd")
    callback = PairPruning(0.1, every(3), by="step")
    fit(model, examples, [callback], epochs=2)
    assert list(callback.records) == [1, 4, 7]
