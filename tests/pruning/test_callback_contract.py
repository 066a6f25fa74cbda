"""The three pruning callbacks beside whatever else sets weights while `fit` goes on."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.pruning import FLAP, FilterPruning, PairPruning, at, every

layers, keras = tf.keras.layers, tf.keras
KINDS = [FilterPruning, PairPruning, FLAP]
ORDERS = [True, False]  # ours is listed first, or last
IMAGES = np.random.default_rng(0).random((48, 8, 8, 1), np.float32)
LABELS = np.arange(48) % 4


def net(optimizer=None, **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="first"),
            layers.Dense(4, name="logits"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **options,
    )
    return model


def fit(model, ours, *others, first=True, epochs=4, **options):
    callbacks = [ours, *others] if first else [*others, ours]
    return model.fit(
        IMAGES,
        LABELS,
        batch_size=16,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **options,
    ).history  # 3 steps an epoch


def dead(model):
    """Numbers of filters and units without incoming weights."""
    return [
        np.flatnonzero(~kernel.reshape(-1, kernel.shape[-1]).any(axis=0)).tolist()
        for kernel in (model.get_layer(name).get_weights()[0] for name in ("conv", "first"))
    ]


def pruned(ours):
    """The same, as the records say."""
    found = {"conv": set(), "first": set()}
    for records in ours.records.values():
        for name in found.keys() & records.keys():
            found[name] |= set(
                getattr(records[name], "pruned", ()) or getattr(records[name], "removed", ())
            )
    return [sorted(found["conv"]), sorted(found["first"])]


class At(keras.callbacks.Callback):
    """Does something at a moment: `{"epoch_end": {2: function}}`, epochs and batches from 0."""

    def __init__(self, **moments):
        super().__init__()
        self.moments, self.now = moments, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch
        self._do("epoch_begin", epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._do("epoch_end", epoch)

    def on_train_batch_begin(self, batch, logs=None):
        self._do("batch_begin", (self.now, batch))

    def on_train_batch_end(self, batch, logs=None):
        self._do("batch_end", (self.now, batch))

    def _do(self, kind, number):
        action = self.moments.get(kind, {}).get(number)
        if action is not None:
            action(self.model)


def equal(weights, others):
    return all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))


def crossed(names: str, *settings: tuple):
    """Every kind with the first setting, and FLAP's callback, which does both, with the others."""
    cases = [(kind, *settings[0]) for kind in KINDS]
    cases += [(FLAP, *setting) for setting in settings[1:]]
    return pytest.mark.parametrize(f"kind, {names}", cases)


@crossed("first", *((first,) for first in ORDERS))
def test_early_stopping_gives_the_best_epoch_back_as_it_was(kind, first):
    class Worse(keras.callbacks.Callback):  # the second epoch is the best
        def on_epoch_end(self, epoch, logs=None):
            logs["quality"] = [1.0, 2.0, 0.5, 0.5, 0.5][epoch]

    kept = []
    stop = keras.callbacks.EarlyStopping(
        "quality", mode="max", patience=2, restore_best_weights=True
    )
    spy = At(epoch_end={1: lambda model: kept.append(model.get_weights())})
    model, ours = net(), kind(0.25, at(3), limit=0.5)
    fit(model, ours, Worse(), spy, stop, first=first, epochs=5)
    assert list(ours.records) == [3]  # pruned, after the best epoch
    assert equal(model.get_weights(), kept[0]) and dead(model) == [[], []]


@crossed("first, options", *itertools.product(ORDERS, [{}, {"by": "step"}]))
def test_a_backup_goes_on_where_the_training_was_stopped(tmp_path, kind, first, options):
    schedule = every(4, start=2) if options else at(1, 2, 4)

    def stopped(model):
        raise KeyboardInterrupt

    whole, ours = net(), kind(0.125, schedule, limit=0.6, **options)
    fit(whole, ours, first=first)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(
            net(),
            kind(0.125, schedule, limit=0.6, **options),
            backup,
            At(epoch_begin={2: stopped}),
            first=first,
        )
    resumed, again = net(), kind(0.125, schedule, limit=0.6, **options)
    fit(resumed, again, keras.callbacks.BackupAndRestore(tmp_path / "backup"), first=first)
    assert list(again.records) == [
        number for number in ours.records if number > (6 if options else 2)
    ]
    assert [len(part) for part in dead(resumed)] == [len(part) for part in dead(whole)]


@crossed(
    "first, moment",
    (True, {"epoch_end": 2}),
    (False, {"epoch_end": 2}),
    (True, {"epoch_begin": 3}),
    (False, {"epoch_begin": 3}),
    (False, {"batch_begin": (3, 1)}),
    (True, {"batch_end": (3, 1)}),
)
def test_weights_that_are_loaded_in_between_are_left_as_they_are(tmp_path, kind, first, moment):
    """Weights from before the pruning come back; what was pruned is not taken out of them.

    In the middle of an epoch that holds on the side of the step on which no step lies between.
    """
    path, seen = str(tmp_path / "early.weights.h5"), []
    ((name, when),) = moment.items()
    save = At(epoch_end={0: lambda model: model.save_weights(path)})
    load = At(**{name: {when: lambda model: model.load_weights(path)}})
    at_once = {"batch_begin": when, "batch_end": (3, 2)}.get(name, (3, 0))
    look = At(batch_begin={at_once: lambda model: seen.append(model.get_weights())})
    model, ours = net(), kind(0.25, at(2), limit=0.5)
    callbacks = [save, load]
    callbacks = [ours, *callbacks] if first else [*callbacks, ours]
    history = model.fit(
        IMAGES,
        LABELS,
        batch_size=16,
        epochs=4,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, look],
    ).history
    early = net()
    early.load_weights(path)
    assert equal(seen[0], early.get_weights())
    assert dead(model) == [[], []]
    for counts in (values for key, values in history.items() if key.startswith("pruned")):
        assert counts[0] == 0 < counts[1] and counts[3] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_more_pruned_weights_that_are_loaded_stay_pruned(tmp_path, kind):
    path = str(tmp_path / "late.weights.h5")
    model, ours = net(), kind(0.25, at(1, 2), limit=0.6)
    fit(model, ours, epochs=2)
    model.save_weights(path)
    other, again = net(), kind(0.25, at(9), limit=0.6)
    load = At(epoch_begin={2: lambda model: model.load_weights(path)})
    fit(other, again, load, first=False)
    assert dead(other) == dead(model) != [[], []]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_is_loaded_after_training_is_trained_on(tmp_path, kind):
    path = str(tmp_path / "best.weights.h5")
    keep = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    model, ours = net(), kind(0.25, at(2), limit=0.5)
    fit(model, ours, keep)
    model.load_weights(path)
    expected = dead(model)
    fit(model, kind(0.25, at(9)), epochs=1)
    assert dead(model) == expected == pruned(ours) != [[], []]


@crossed("first", *((first,) for first in ORDERS))
def test_a_pruned_file_that_is_trained_anew_stays_pruned(tmp_path, kind, first):
    """The optimizer is a new one, so that nothing but the weights tells what was pruned."""
    model, ours = net(), kind(0.25, at(1), limit=0.5)
    fit(model, ours, epochs=1)
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras", compile=False)
    loaded.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    fit(loaded, kind(0.25, at(9)), keras.callbacks.ReduceLROnPlateau(), first=first)
    assert dead(loaded) == pruned(ours) != [[], []]


@crossed("first", *((first,) for first in ORDERS))
def test_learning_rates_make_no_difference(kind, first):
    one, other = net(), net()
    ours = [kind(0.25, at(1, 3), limit=0.6) for _ in range(2)]
    fit(one, ours[0])
    fit(other, ours[1], keras.callbacks.ReduceLROnPlateau("loss", patience=99), first=first)
    assert equal(one.get_weights(), other.get_weights()) and pruned(ours[0]) == pruned(ours[1])


@crossed("size", (2,), (3,), (6,))
def test_several_steps_at_a_time(kind, size):
    by_step, by_epoch = (kind(0.25, at(2), limit=0.5, by=by) for by in ("step", "epoch"))
    for ours in (by_step, by_epoch):
        model = net(steps_per_execution=size)
        fit(model, ours)
        assert dead(model) == pruned(ours) != [[], []]
    assert list(by_epoch.records) == [2] and len(by_step.records) == 1


@crossed("by", ("step",), ("epoch",))
def test_a_loop_of_ones_own_does_what_fit_does(kind, by):
    looped, fitted = net(), net()
    ours, other = (kind(0.25, at(1, 3), limit=0.6, by=by) for _ in range(2))
    fit(fitted, other)
    callbacks = keras.callbacks.CallbackList([ours], model=looped)
    callbacks.on_train_begin()
    for epoch in range(4):
        callbacks.on_epoch_begin(epoch)
        for batch in range(3):
            rows = slice(16 * batch, 16 * batch + 16)
            callbacks.on_train_batch_begin(batch)
            looped.train_on_batch(IMAGES[rows], LABELS[rows])
            callbacks.on_train_batch_end(batch)
        callbacks.on_epoch_end(epoch, {})
    callbacks.on_train_end()
    assert list(ours.records) == list(other.records) and pruned(ours) == pruned(other)
    for own, theirs in zip(looped.get_weights(), fitted.get_weights()):
        np.testing.assert_allclose(own, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_validation_sees_the_epoch_pruned_whatever_says_so(kind):
    """Epochs of unknown length, with and without validation, and of known length."""

    def batches():
        for first in range(0, 48, 16):
            yield IMAGES[first : first + 16], LABELS[first : first + 16]

    unknown = tf.data.Dataset.from_generator(
        batches, output_signature=(tf.TensorSpec((16, 8, 8, 1)), tf.TensorSpec((16,), tf.int64))
    )
    for data, options in (((IMAGES, LABELS), {"batch_size": 16}), ((unknown, None), {})):
        model, ours = net(), kind(0.5, at(2), limit=0.5)
        x, y = data
        history = model.fit(
            x,
            y,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[ours],
            validation_data=(IMAGES, LABELS),
            **options,
        ).history
        assert history["val_loss"][-1] == pytest.approx(
            model.evaluate(IMAGES, LABELS, verbose=0), rel=1e-5
        )
    model, ours = net(), kind(0.5, at(2), limit=0.5)
    model.fit(unknown, epochs=2, verbose=0, callbacks=[ours])
    assert list(ours.records) == [2] and dead(model) == pruned(ours)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_apart_from_training_prunes_nothing(kind):
    model, ours = net(), kind(0.25, every(1), limit=0.5)
    model.evaluate(IMAGES, LABELS, verbose=0, callbacks=[ours])
    assert dead(model) == [[], []]
    fit(model, ours, epochs=1)
    expected = dead(model)
    model.evaluate(IMAGES, LABELS, verbose=0, callbacks=[ours])
    assert dead(model) == expected != [[], []]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_diverges_is_left_to_keras(kind):
    model = net(keras.optimizers.SGD(1e20))
    stop = keras.callbacks.TerminateOnNaN()
    fit(model, kind(0.25, at(9)), stop)
    assert not np.isfinite(model.get_weights()[0]).all()


def averaging(**options):
    try:
        return keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9, **options)
    except (TypeError, ValueError):
        pytest.skip("this Keras keeps no averages")


def averages(model):
    found = model.optimizer._model_variables_moving_average
    return [np.asarray(average) for average in found]


@crossed("first", *((first,) for first in ORDERS))
def test_averages_of_weights_are_pruned_by_the_same_decisions(kind, first):
    """Merged like the weights: what was removed is added to what was kept, then zero."""
    before, after = [], []
    spies = [
        At(batch_end={(1, 2): lambda model: before.append(averages(model))}),
        At(batch_end={(1, 2): lambda model: after.append(averages(model))}),
    ]
    model, ours = net(averaging()), kind(0.25, at(2), limit=0.5)
    model.fit(
        IMAGES,
        LABELS,
        batch_size=16,
        epochs=4,
        shuffle=False,
        verbose=0,
        callbacks=[spies[0], ours, spies[1]],
    )
    expected = [array.copy() for array in before[0]]
    records = ours.records[2]
    if "conv" in records:
        for place in (0, 1):
            expected[place][..., list(records["conv"].pruned)] = 0
    if "first" in records:
        kept, removed = map(list, (records["first"].kept, records["first"].removed))
        expected[4][kept] += expected[4][removed]
        expected[4][removed] = 0
        for place in (2, 3):
            expected[place][..., removed] = 0
    for own, right in zip(after[0], expected, strict=True):
        np.testing.assert_allclose(own, right, rtol=1e-6, atol=1e-8)
    assert dead(model) == pruned(ours) != [[], []]  # `fit` ends with the averages as weights


@pytest.mark.parametrize("kind", KINDS)
def test_averages_that_replace_the_weights_now_and_then(kind):
    model, ours = net(averaging(ema_overwrite_frequency=2)), kind(0.25, at(2, 3), limit=0.6)
    fit(model, ours)
    assert dead(model) == pruned(ours) != [[], []]


@crossed("first, swap_on_epoch", *itertools.product(ORDERS, [True, False]))
def test_swapped_averages(kind, first, swap_on_epoch):
    if not hasattr(keras.callbacks, "SwapEMAWeights"):
        pytest.skip("this Keras swaps no averages")
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
    model, ours = net(averaging()), kind(0.25, at(2, 3), limit=0.6)
    fit(model, ours, swap, first=first, validation_data=(IMAGES, LABELS))
    assert list(ours.records) == [2, 3] and dead(model) == pruned(ours) != [[], []]


REPLICAS = """
import sys
import numpy as np
import tensorflow as tf
sys.path.insert(0, sys.argv[1])
import test_callback_contract as contract
from tfunlearn.pruning import apply, at, explain, prune_filters, prune_pairs
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
for kind in contract.KINDS:
    found = []
    for devices in ((), ("CPU:0",), ("CPU:0", "CPU:1")):
        if devices:
            with tf.distribute.MirroredStrategy(devices).scope():
                model = contract.net()
        else:
            model = contract.net()
        ours = kind(0.25, at(1, 3), limit=0.6)
        contract.fit(model, ours)
        steps = kind(0.125, at(13), limit=0.9, by="step")
        contract.fit(model, steps, epochs=1)
        assert list(steps.records) == [13], steps.records
        dead = contract.dead(model)
        found.append([len(part) for part in dead])
        for name, gone in zip(("conv", "first"), dead):
            kernel = model.get_layer(name).kernel
            for part in getattr(getattr(kernel, "value", kernel), "values", None) or getattr(
                    kernel, "values", ()):
                assert not np.asarray(part)[..., gone].any()
    assert found[0] == found[1] == found[2] != [0, 0], found
with tf.distribute.MirroredStrategy(("CPU:0", "CPU:1")).scope():
    model = contract.net()
apply(model, explain(model, 0.25))
before = contract.dead(model)
prune_filters(model, 0.25), prune_pairs(model, 0.25)
assert all(len(now) > len(old) > 0 for now, old in zip(contract.dead(model), before))
"""


def test_one_and_two_replicas_do_what_none_does():
    command = [sys.executable, "-c", REPLICAS, __file__.rpartition("/")[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == -signal.SIGSEGV:  # TensorFlow's, on a busy machine: once in many runs
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
