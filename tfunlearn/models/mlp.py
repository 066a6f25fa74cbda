"""Five-layer perceptron."""

from __future__ import annotations

from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import Initializers, plain_keras
from tfunlearn.models.model import Model, built_by

HIDDEN = (512, 256, 128, 64)


@plain_keras()
def mlp(input_shape=(28, 28, 1), classes: int = 10, *, seed: int = 0) -> tf.keras.Model:
    """Return a perceptron with hidden layers 512-256-128-64 and ReLU; outputs logits.

    575,050 parameters at 28x28x1 and 10 classes. Pair pruning was measured on this layout; the FLAP
    paper names a five-layer MLP without giving its widths.

    Args:
        input_shape: shape of an example, images or rows of a table; default 28x28x1.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.
    """
    layers, initial = tf.keras.layers, Initializers(seed)
    model = tf.keras.Sequential(
        [layers.Input(input_shape, name="features"), layers.Flatten(name="flatten")], name="mlp"
    )
    for number, units in enumerate(HIDDEN, start=1):
        model.add(
            layers.Dense(
                units,
                activation="relu",
                name=f"dense_{number}",
                kernel_initializer=initial.he_normal(),
            )
        )
    model.add(layers.Dense(classes, name="logits", kernel_initializer=initial.glorot_uniform()))
    return model


MLP = Model(
    name="mlp",
    summary="perceptron with hidden layers 512-256-128-64",
    takes="numbers",
    build=built_by(mlp),
    sizes=(575_050, 1_746_506),
)
