"""LeNet-5."""

from __future__ import annotations

from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import Initializers, plain_keras
from tfunlearn.models.model import Model, built_by


@plain_keras()
def lenet5(input_shape=(28, 28, 1), classes: int = 10, *, seed: int = 0) -> tf.keras.Model:
    """Return LeNet-5 with ReLU and max pooling; outputs logits.

    44,426 parameters at 28x28x1 and 10 classes, the layout of the FLAP code without its Dropout.

    Args:
        input_shape: `(height, width, channels)`, at least 16x16; default 28x28x1.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.

    Reference:
        LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
    """
    layers, initial = tf.keras.layers, Initializers(seed)
    he_normal = initial.he_normal
    return tf.keras.Sequential(
        [
            layers.Input(input_shape, name="images"),
            layers.Conv2D(6, 5, activation="relu", kernel_initializer=he_normal(), name="conv_1"),
            layers.MaxPooling2D(2, name="pool_1"),
            layers.Conv2D(16, 5, activation="relu", kernel_initializer=he_normal(), name="conv_2"),
            layers.MaxPooling2D(2, name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, activation="relu", kernel_initializer=he_normal(), name="dense_1"),
            layers.Dense(84, activation="relu", kernel_initializer=he_normal(), name="dense_2"),
            layers.Dense(classes, kernel_initializer=initial.glorot_uniform(), name="logits"),
        ],
        name="lenet5",
    )


LENET5 = Model(
    name="lenet5",
    summary="LeNet-5 with ReLU and max pooling",
    paper="LeCun et al., Proc. IEEE 1998",
    takes="images",
    build=built_by(lenet5),
    sizes=(44_426, 62_006),
)
