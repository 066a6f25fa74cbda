"""A small Transformer encoder for text."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import Initializers, plain_keras
from tfunlearn.models.model import Model, built_by

WIDTH, HEADS = 64, 4


@plain_keras()
def transformer(
    input_shape=(64,), classes: int = 10, *, seed: int = 0, vocabulary: int | None = 5000
) -> tf.keras.Model:
    """Return one encoder block of self-attention over embedded tokens, mean-pooled; logits.

    Deviation: positions are told by a convolution over neighboring tokens added to the embedding,
    as in conditional positional encodings (Chu et al., arXiv 2102.10882), since Keras 2 and 3 share
    no layer that adds learned positions.

    Args:
        input_shape: `(length,)`, token ids of an example.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.
        vocabulary: number of token ids; default 5000.

    Reference:
        Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (arXiv 1706.03762).
    """
    layers, initial = tf.keras.layers, Initializers(seed)
    tokens = tf.keras.Input(input_shape, dtype="int32", name="tokens")
    x = layers.Embedding(
        vocabulary, WIDTH, embeddings_initializer=initial.uniform(), name="embedding"
    )(tokens)
    near = layers.Conv1D(
        WIDTH,
        3,
        padding="same",
        kernel_initializer=initial.glorot_uniform(),
        name="position",
    )(x)
    x = layers.LayerNormalization(name="norm_1")(layers.Add(name="embedded")([x, near]))
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")
    attended = attention(x, x)
    _draw_kernels(attention, initial)
    x = layers.LayerNormalization(name="norm_2")(layers.Add(name="attended")([x, attended]))
    inner = layers.Dense(
        2 * WIDTH, activation="relu", kernel_initializer=initial.he_normal(), name="dense_1"
    )(x)
    inner = layers.Dense(WIDTH, kernel_initializer=initial.glorot_uniform(), name="dense_2")(inner)
    x = layers.LayerNormalization(name="norm_3")(layers.Add(name="transformed")([x, inner]))
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    outputs = layers.Dense(classes, kernel_initializer=initial.glorot_uniform(), name="logits")(x)
    return tf.keras.Model(tokens, outputs, name="transformer")


def _draw_kernels(attention, initial: Initializers) -> None:
    """Draw query, key, value and output kernels apart; Keras gives all of them one seed."""
    attention.set_weights(
        [
            np.zeros(weight.shape, np.float32)
            if "bias" in weight.name
            else np.asarray(initial.glorot_uniform()((WIDTH, WIDTH))).reshape(weight.shape)
            for weight in attention.weights
        ]
    )


TRANSFORMER = Model(
    name="transformer",
    summary="embedding and one block of self-attention",
    paper="Vaswani et al., NeurIPS 2017, arXiv 1706.03762",
    takes="tokens",
    build=built_by(transformer),
    sizes=(366_602,),
)
