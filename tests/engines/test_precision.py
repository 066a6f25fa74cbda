"""Mixed precision: weights and updates stay float32, and the model still learns."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.engines.tensorflow import TensorFlowEngine
from tfunlearn.federated import GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.stateless import is_keras_3
from tfunlearn.models import build_model
from tfunlearn.models.precision import in_precision

needs_keras_3 = pytest.mark.skipif(not is_keras_3(), reason="Keras 2 casts no exchanged weights")


def gathered(model, compute_dtype="float32"):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 8).astype(np.int32)
    images = rng.integers(0, 60, (80, 28, 28, 1), np.uint8)
    images += (labels[:, None, None, None] * 19).astype(np.uint8)  # brightness tells the class
    work = ClientWork(model, ClientTraining("adam", batch_size=8), compute_dtype=compute_dtype)
    cohort = Cohort(1, np.arange(2), ClientSet(images, labels, np.array([0, 40, 80])), np.ones(2))
    return GatheringRounds(work, engine=TensorFlowEngine(), seed=0).gather(
        model.get_weights(), cohort
    )


@needs_keras_3
def test_layers_compute_in_bfloat16_and_updates_stay_near():
    model = build_model("lenet5", (28, 28, 1), 10, seed=0)
    twin = in_precision(model, "mixed-bfloat16")
    dtypes = {layer.compute_dtype for layer in twin.layers[1:-1]}
    assert dtypes == {"bfloat16"} and twin.layers[-1].compute_dtype == "float32"
    assert {tf.as_dtype(w.dtype).name for w in twin.weights} == {"float32"}
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights()))
    exact, mixed = gathered(model), gathered(twin, "bfloat16")
    assert mixed.stack.dtype == np.float32 and np.isfinite(mixed.stack).all()
    assert not np.array_equal(exact.stack, mixed.stack)
    product = (exact.stack * mixed.stack).sum()
    cosine = product / np.linalg.norm(exact.stack) / np.linalg.norm(mixed.stack)
    assert cosine > 0.7
    np.testing.assert_allclose(mixed.losses, exact.losses, rtol=0.1)


def test_float32_is_the_model_itself_and_a_mixed_model_is_refused_without_being_asked_for():
    model = build_model("lenet5", (28, 28, 1), 10)
    assert in_precision(model, "float32") is model
    if is_keras_3():
        with pytest.raises(UserError, match="must compute in float32; got bfloat16"):
            ClientWork(in_precision(model, "mixed-bfloat16"), ClientTraining())
    else:
        with pytest.raises(UserError, match="precision: must be float32 with Keras 2"):
            in_precision(model, "mixed-bfloat16")


@needs_keras_3
def test_what_comes_after_the_last_weights_stays_float32_and_nested_models_are_refused():
    layers = tf.keras.layers
    plain = [layers.Input((8, 8, 1)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(4)]
    model = tf.keras.Sequential([*plain, layers.Softmax()])
    twin = in_precision(model, "mixed-bfloat16")
    assert [layer.compute_dtype for layer in twin.layers] == [
        *("bfloat16", "bfloat16", "float32", "float32")
    ]
    nested = tf.keras.Sequential([layers.Input((8, 8, 1)), tf.keras.Sequential(plain)])
    with pytest.raises(UserError, match="precision: .*nested models; got mixed-bfloat16"):
        in_precision(nested, "mixed-bfloat16")
