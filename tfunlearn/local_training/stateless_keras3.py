"""Stateless calls under Keras 3, whose variables can be mapped to tensors for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfunlearn.core.lazy import tf
from tfunlearn.local_training.stateless import StatelessModel, draw_seed, refuse_constraint


class StatelessKeras3(StatelessModel):
    """`StatelessModel` under Keras 3.

    During a call, Keras maps every weight to the given tensor. Each random layer keeps the state of
    its generator in a variable, which is mapped to a seed derived from the seed of the call.
    """

    def __init__(self, model: Any, *, compute_dtype: str = "float32"):
        super().__init__(model, compute_dtype=compute_dtype)
        known = {id(weight) for weight in model.weights}
        self._seeds = [
            variable
            for variable in model.non_trainable_variables
            if id(variable) not in known and variable.name == "seed_generator_state"
        ]

    def _run(
        self, trainable: Sequence, state: Sequence, images, training: bool, seed
    ) -> tuple[Any, list, Any]:
        import keras

        moving = [
            (variable, value)
            for variable, value in zip(self._state, state)
            if tf.as_dtype(variable.dtype) == tf.float32  # whole numbers stay
        ]
        mapping = [*zip(self._trainable, trainable), *moving]
        for number, generator in enumerate(self._seeds, start=1):
            mapping.append((generator, tf.cast(draw_seed(seed, number), generator.dtype)))
        with keras.StatelessScope(mapping) as scope:  # pyright: ignore[reportAttributeAccessIssue]
            outputs = self.model(images, training=training)
        changed = {id(variable): scope.get_current_value(variable) for variable, _ in moving}
        new = [changed.get(id(variable), value) for variable, value in zip(self._state, state)]
        penalty = tf.zeros([], tf.float32)
        for variable, value in zip(self._trainable, trainable):
            regularizer = getattr(variable, "regularizer", None)
            if regularizer is not None:
                penalty += regularizer(value)
        return outputs, new, penalty

    def _layers(self) -> list[Any]:
        return list(self.model._flatten_layers())

    def _check_weights(self) -> None:
        for layer in self._layers():
            for variable in [*layer._trainable_variables, *layer._non_trainable_variables]:
                if getattr(variable, "constraint", None) is not None:
                    refuse_constraint(layer.name, variable.name)
