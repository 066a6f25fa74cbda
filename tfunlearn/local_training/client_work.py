"""Local training of a client: one TensorFlow function, shared by all engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import UserError, choose, require
from tfunlearn.core.features import client_specs, features_of_client, to_unit_range
from tfunlearn.core.lazy import tf
from tfunlearn.core.model_inputs import arranged_for, input_shapes, named_inputs
from tfunlearn.core.vectors import sizes_of, tensors_from_vector, vector_from_tensors
from tfunlearn.local_training.optimizers import OPTIMIZERS
from tfunlearn.local_training.stateless import stateless_model
from tfunlearn.local_training.tracing import TracedWork
from tfunlearn.models.outputs import class_scores, gives_probabilities


@dataclass(frozen=True)
class ClientTraining:
    """Hyperparameters of local training.

    Attributes:
        optimizer: `"sgd"`, `"momentum"` (0.9), `"adam"`, `"adamw"` (weight decay 0.004) or
            `"fisher"` (see `diagonal_fisher`); its state is re-initialized in every round.
        lr: learning rate, > 0.
        local_epochs: epochs over the client's examples per round, >= 1.
        batch_size: examples per step, >= 1; the last batch of an epoch may be smaller.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    local_epochs: int = 2
    batch_size: int = 32


class ClientWork:
    """Local training of one client, on raw tensors.

    Args:
        model: a built Keras model that maps features to class scores.
        training: optimizer, learning rate, epochs, batch size.
        movable: mask of the entries that may change, one bool array per model weight, in the
            order of the weights; all other entries stay bit-identical for every optimizer.
            Default all.
        fixed_norms: freeze the moving statistics and run BatchNormalization in inference mode;
            default False.
        loss: `"cross-entropy"` (default), or `"unlearning"`, -log(1 - p / 2) with p the
            probability of the label, minimal at p = 0 (Pan et al., AAAI 2025).
        compute_dtype: dtype in which the layers of `model` may compute besides float32, such as
            bfloat16 for mixed precision; default float32.

    A *client* is a mapping of tensors (keys in sorted order, as TFF wants them): `boost` `()`,
    `id` `()`, `features` `(m, ...)`, `labels` `(m,)`, `order` `(epochs * m,)` and `seed` `(2,)`.
    A model of several inputs has an entry `features_<name>` for each.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        training: ClientTraining,
        *,
        movable: Sequence[np.ndarray] | None = None,
        fixed_norms: bool = False,
        loss: str = "cross-entropy",
        compute_dtype: str = "float32",
    ):
        require(
            "model", model.name, bool(model.trainable_weights), "a model with trainable weights"
        )
        self.movable = None if movable is None else _trainable_entries(model, movable)
        self.fixed_norms, self._loss = fixed_norms, choose("loss", loss, LOSSES)
        self.stateless = stateless_model(model, compute_dtype=compute_dtype)
        self.training = training
        self.input_shape = input_shapes(model)
        self._arranged, self._inputs = arranged_for(model), named_inputs(model)
        self.from_logits = not gives_probabilities(model)
        self.trainable_size = sum(sizes_of(self.stateless.trainable_shapes))
        self.state_size = sum(sizes_of(self.stateless.state_shapes))

    def client_spec(self, feature_dtype) -> dict[str, tf.TensorSpec]:
        """Return the `tf.TensorSpec` of every entry of a client.

        Raises:
            UserError: the model takes token ids and the features are none.
        """
        self._require_kind(np.dtype(feature_dtype))
        given = dict(
            boost=tf.TensorSpec([], tf.float32),
            id=tf.TensorSpec([], tf.int32),
            labels=tf.TensorSpec([None], tf.int32),
            order=tf.TensorSpec([None], tf.int32),
            seed=tf.TensorSpec([2], tf.int32),
            **client_specs(feature_dtype, self.input_shape),
        )
        return dict(sorted(given.items()))

    def _require_kind(self, dtype: np.dtype) -> None:
        for name, tensor in self._inputs.items():
            given = (dtype[name] if dtype.names else dtype).base
            if tf.as_dtype(tensor.dtype).is_integer and given != np.int32:
                raise UserError(
                    f"model: input {name} takes whole numbers (token ids); the data have "
                    f"{'images' if given == np.uint8 else 'other numbers'}, of which it would "
                    "keep the whole part"
                )

    def trace(self, feature_dtype) -> TracedWork:
        """Return `update`, traced once, as `(trainable, state, client) -> results`."""
        given = [tf.TensorSpec([self.trainable_size]), tf.TensorSpec([self.state_size])]
        return TracedWork(self.update, given, self.client_spec(feature_dtype))

    def update(self, trainable, state, client: dict):
        """Train one client and return its update.

        Args:
            trainable: global trainable weights, float32 `(trainable_size,)`.
            state: global moving statistics, float32 `(state_size,)`.
            client: the mapping of tensors described above.

        Returns:
            The update of `trainable` times the boost, the update of `state` (never boosted, since
            variances must stay positive), whether both are finite (if not, both are zeros), and
            the mean loss over all steps (zero if the updates are not finite).
        """
        new_trainable, new_state, loss = self.train(
            trainable,
            state,
            features_of_client(client),
            client["labels"],
            client["order"],
            client["seed"],
        )
        delta = (new_trainable - trainable) * client["boost"]
        state_delta = new_state - state
        finite = tf.reduce_all(tf.math.is_finite(delta)) & tf.reduce_all(
            tf.math.is_finite(state_delta)
        )
        return tuple(tf.where(finite, value, 0.0) for value in (delta, state_delta)) + (
            finite,
            tf.where(finite, loss, 0.0),
        )

    def train(self, trainable, state, features, labels, order, seed):
        """Train one client from the global weights.

        Args:
            trainable: float32 `(trainable_size,)`.
            state: float32 `(state_size,)`, moving statistics.
            features: `(m, ...)`, or a mapping of them; uint8 is divided by 255.
            labels: int32 `(m,)`.
            order: int32 `(local_epochs * m,)`, example indices, epoch by epoch.
            seed: int32 `(2,)`, seed of the random layers.

        Returns:
            The new `trainable` and `state` vectors and the mean loss over all steps.
        """
        optimizer = OPTIMIZERS[self.training.optimizer](self.training.lr)
        examples, batch = tf.shape(labels)[0], self.training.batch_size
        steps_per_epoch = (examples + batch - 1) // batch
        steps = steps_per_epoch * self.training.local_epochs

        def step(index, trainable, state, optimizer_state, total_loss):
            epoch, within = index // steps_per_epoch, index % steps_per_epoch
            first = epoch * examples + within * batch
            rows = order[first : tf.minimum(first + batch, (epoch + 1) * examples)]
            batch_of = tf.nest.map_structure(lambda part: tf.gather(part, rows), features)
            inputs = self._arranged(to_unit_range(batch_of))
            with tf.GradientTape() as tape:
                tape.watch(trainable)
                outputs, new_state, penalty = self.stateless.call(
                    tensors_from_vector(trainable, self.stateless.trainable_shapes),
                    tensors_from_vector(state, self.stateless.state_shapes),
                    inputs,
                    training=True,
                    seed=seed + tf.stack([index, 0]),
                    fixed_norms=self.fixed_norms,
                )
                loss = tf.reduce_mean(self.losses(tf.gather(labels, rows), outputs))
                objective = loss + penalty
            gradient = tape.gradient(objective, trainable)
            if self.movable is not None:
                gradient = tf.where(self.movable, gradient, 0.0)
            optimizer_state, moved = optimizer.next(optimizer_state, trainable, gradient)
            if self.movable is not None:  # weight decay moves entries without a gradient
                moved = tf.where(self.movable, moved, trainable)
            new_state = state if self.fixed_norms else vector_from_tensors(new_state)
            return index + 1, moved, new_state, optimizer_state, total_loss + loss

        start = optimizer.initialize(self.trainable_size)
        _, trainable, state, _, total_loss = tf.while_loop(
            lambda index, *_: index < steps,
            step,
            (tf.constant(0), trainable, state, start, tf.constant(0.0)),
            parallel_iterations=1,
        )
        return trainable, state, total_loss / tf.cast(steps, tf.float32)

    def losses(self, labels, outputs):
        """Return the loss of every example, `(batch,)`."""
        scores = class_scores(tf.cast(outputs, tf.float32), not self.from_logits)
        return self._loss(labels, scores, self.from_logits)


def cross_entropy(labels, outputs, from_logits: bool):
    """Return -log p of every example, `(batch,)`, with p the probability of its label."""
    return tf.keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits=from_logits)


def unlearning_cross_entropy(labels, outputs, from_logits: bool):
    """Return -log(1 - p / 2) of every example, `(batch,)`, range 0 to log 2."""
    probabilities = tf.nn.softmax(outputs) if from_logits else outputs
    return -tf.math.log1p(-tf.gather(probabilities, labels, axis=1, batch_dims=1) / 2)


LOSSES = {"cross-entropy": cross_entropy, "unlearning": unlearning_cross_entropy}


def _trainable_entries(model: tf.keras.Model, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the masks of the trainable weights as one vector, bool `(trainable_size,)`."""
    by_weight = {id(weight): mask for weight, mask in zip(model.weights, masks)}
    return np.concatenate([by_weight[id(weight)].reshape(-1) for weight in model.trainable_weights])
