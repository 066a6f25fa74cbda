"""A small convolutional network for text."""

from __future__ import annotations

from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import Initializers, plain_keras
from tfunlearn.models.model import Model, built_by

WIDTH = 64


@plain_keras()
def text_cnn(
    input_shape=(64,), classes: int = 10, *, seed: int = 0, vocabulary: int | None = 5000
) -> tf.keras.Model:
    """Return an embedding, two convolutions over words, maximum pooling, and two Dense layers.

    The layout follows Kim's network in small: one width of convolution, stacked, in place of three
    widths side by side.

    Args:
        input_shape: `(length,)`, token ids of an example.
        classes: number of outputs, logits; default 10.
        seed: seed of the initial weights; default 0.
        vocabulary: number of token ids; default 5000.

    Reference:
        Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014
        (arXiv 1408.5882).
    """
    layers, initial = tf.keras.layers, Initializers(seed)
    return tf.keras.Sequential(
        [
            layers.Input(input_shape, dtype="int32", name="tokens"),
            layers.Embedding(
                vocabulary,
                WIDTH,
                embeddings_initializer=initial.uniform(),
                name="embedding",
            ),
            layers.Conv1D(
                WIDTH,
                5,
                padding="same",
                activation="relu",
                kernel_initializer=initial.he_normal(),
                name="conv_1",
            ),
            layers.Conv1D(
                WIDTH,
                5,
                padding="same",
                activation="relu",
                kernel_initializer=initial.he_normal(),
                name="conv_2",
            ),
            layers.GlobalMaxPooling1D(name="pool"),
            layers.Dense(
                WIDTH, activation="relu", kernel_initializer=initial.he_normal(), name="dense_1"
            ),
            layers.Dense(classes, kernel_initializer=initial.glorot_uniform(), name="logits"),
        ],
        name="text_cnn",
    )


TEXT_CNN = Model(
    name="text-cnn",
    summary="embedding and two convolutions over words",
    paper="Kim, EMNLP 2014, arXiv 1408.5882",
    takes="tokens",
    build=built_by(text_cnn),
    sizes=(365_898,),
)
