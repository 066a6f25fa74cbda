"""Indices of the kernels among a Keras model's weights, found by layer class."""

from __future__ import annotations

from tfunlearn.core.lazy import tf

CONVOLUTIONS = (
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "SeparableConv1D",
    "SeparableConv2D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
)
ALSO_DENSE = ("Dense", "EinsumDense", "LSTMCell", "GRUCell", "SimpleRNNCell")
ATTRIBUTES = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel")


def kernels_of(
    model: tf.keras.Model, *, convolutions_only: bool = False, embeddings: bool = False
) -> list[int]:
    """Return the indices in `model.get_weights()` of the kernels of a model's layers.

    Kernels are those of Dense and convolution layers, of the projections of attention
    (`EinsumDense`), and of recurrent layers (kernel and recurrent kernel of each cell). Biases,
    normalization layers and all other weights are excluded; shared layers count once.

    Args:
        model: a built Keras model; nested models are included.
        convolutions_only: whether to exclude all but convolutions; default False.
        embeddings: whether to include the tables of Embedding layers; default False.
    """
    names = [*CONVOLUTIONS, *(() if convolutions_only else ALSO_DENSE)]
    kinds = tuple(getattr(tf.keras.layers, name) for name in names)
    found = set()
    for layer in _layers(model):
        if isinstance(layer, kinds):
            found |= {id(getattr(layer, name, None)) for name in ATTRIBUTES}
        if embeddings and isinstance(layer, tf.keras.layers.Embedding):
            found.add(id(layer.embeddings))
    return [place for place, weight in enumerate(model.weights) if id(weight) in found]


def _layers(model):
    """Return every layer, including those inside nested models and wrappers."""
    if hasattr(model, "_flatten_layers"):
        return model._flatten_layers(include_self=False)
    return model.submodules
