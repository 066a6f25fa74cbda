"""Keras models as pure functions of their weights, under Keras 2 and Keras 3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf
from tfunlearn.models.weight_names import weight_name


class StatelessModel:
    """Call a built Keras model with weights given as tensors.

    Random layers (Dropout, ...) draw from the seed of the call, moving statistics are returned
    instead of assigned, and the model itself does not change.

    Args:
        model: a built Keras model. Its weights must be float32; whole numbers that do not train
            stay as they are.
        compute_dtype: dtype in which the model's layers may compute, besides float32; default
            float32.

    Attributes:
        model: the model.
        trainable_shapes: shapes of `model.trainable_weights`.
        state_shapes: shapes of `model.non_trainable_weights`.

    Raises:
        UserError: a weight is not float32, or a layer has a weight constraint, adds a loss on
            activations, or computes in another dtype; under Keras 2 also if a weight is not an
            attribute of its layer.
    """

    def __init__(self, model: tf.keras.Model, *, compute_dtype: str = "float32"):
        self.model = model
        self._trainable, self._state = model.trainable_weights, model.non_trainable_weights
        self.trainable_shapes = [tuple(w.shape) for w in self._trainable]
        self.state_shapes = [tuple(w.shape) for w in self._state]
        for weight in model.trainable_weights:
            _check_dtype(weight)
        for weight in model.non_trainable_weights:
            _check_constant(weight)
        self._check_weights()
        for tensor in model.inputs or ():
            dtype = tf.as_dtype(tensor.dtype)
            if dtype not in (tf.float32, tf.int32):
                raise UserError(
                    f"model: must take float32 input, or int32 (token ids); got {dtype.name}"
                )
        for layer in self._layers():
            _check_layer(layer, compute_dtype)

    def call(
        self,
        trainable: Sequence,
        state: Sequence,
        images,
        *,
        training: bool,
        seed,
        fixed_norms: bool = False,
    ) -> tuple[Any, list, Any]:
        """Run the model.

        Args:
            trainable: tensors in the order of `model.trainable_weights`.
            state: tensors in the order of `model.non_trainable_weights` (moving statistics).
            images: float32 or int32 `(batch, ...)`, as the model takes them.
            training: run Dropout and BatchNormalization in training mode.
            seed: int32 `(2,)`, the seed of all random layers in this call.
            fixed_norms: run BatchNormalization in inference mode even so; default False.

        Returns:
            The outputs `(batch, classes)`, the new `state`, and the sum of all weight penalties.
        """
        with _inference_mode(self._batch_norms() if fixed_norms else ()):
            return self._run(trainable, state, images, training, seed)

    def _run(
        self, trainable: Sequence, state: Sequence, images, training: bool, seed
    ) -> tuple[Any, list, Any]:
        """Run the model as `call` does, with the norms in the mode that they have now."""
        raise NotImplementedError

    def _batch_norms(self) -> list[Any]:
        return [layer for layer in self._layers() if isinstance(layer, self._norm_types())]

    def _norm_types(self) -> tuple[type, ...]:
        return (tf.keras.layers.BatchNormalization,)

    def _layers(self) -> Sequence[Any]:
        """Return the model and all layers in it."""
        raise NotImplementedError

    def _check_weights(self) -> None:
        """Check what depends on the Keras release; see `StatelessModel`."""


def stateless_model(model: tf.keras.Model, *, compute_dtype: str = "float32") -> StatelessModel:
    """Return the `StatelessModel` for the Keras release of a model; arguments as there."""
    if is_keras_3():
        from tfunlearn.local_training.stateless_keras3 import StatelessKeras3

        return StatelessKeras3(model, compute_dtype=compute_dtype)
    from tfunlearn.local_training.stateless_keras2 import StatelessKeras2

    return StatelessKeras2(model, compute_dtype=compute_dtype)


def is_keras_3() -> bool:
    """Return whether `tf.keras` is Keras 3 (or later)."""
    return hasattr(tf.keras, "StatelessScope")


def draw_seed(seed, number: int):
    """Return the seed `(2,)` of a random draw of a call, from the seed of the call.

    Args:
        seed: int32 `(2,)`.
        number: number of the draw, from 1.
    """
    return seed + tf.constant([0, 7919 * number], tf.int32)


def refuse_constraint(layer_name: str, weight_name: str) -> None:
    """Raise the error for a weight with a constraint."""
    raise UserError(
        f"model: layer {layer_name} has a {weight_name} constraint, which federated training "
        "does not apply; remove it"
    )


@contextlib.contextmanager
def _inference_mode(layers: Sequence[Any]) -> Iterator[None]:
    """Run normalization layers in inference mode during the block, as `trainable = False` does."""
    kept = [(layer, layer._trainable) for layer in layers]
    try:
        for layer in layers:
            vars(layer)["_trainable"] = False
        yield
    finally:
        for layer, before in kept:
            vars(layer)["_trainable"] = before


def _check_dtype(weight: Any) -> None:
    dtype = tf.as_dtype(weight.dtype)
    if dtype != tf.float32:
        raise UserError(
            f"model: weight {weight_name(weight)} is {dtype.name}; federated averaging "
            "takes float32 weights only"
        )


def _check_constant(weight: Any) -> None:
    """Check a weight that does not train: float32, or a small whole number that stays as it is.

    Such numbers are the `count` of Keras' Normalization.
    """
    dtype = tf.as_dtype(weight.dtype)
    if dtype == tf.float32:
        return
    if not dtype.is_integer or np.abs(np.asarray(weight, np.float64)).max(initial=0) >= 2**24:
        _check_dtype(weight)


def _check_layer(layer: Any, compute_dtype: str) -> None:
    if isinstance(layer, tf.keras.layers.InputLayer):
        return
    dtype = getattr(layer, "compute_dtype", "float32")
    if dtype not in ("float32", compute_dtype):
        raise UserError(f"model: layer {layer.name} must compute in float32; got {dtype}")
    if getattr(layer, "activity_regularizer", None) is not None or (
        type(layer).__name__ in ("AddLoss", "ActivityRegularization")
    ):
        raise UserError(
            f"model: layer {layer.name} adds a loss on activations, which federated training "
            "does not apply; remove it"
        )
