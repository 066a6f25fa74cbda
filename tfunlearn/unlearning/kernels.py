"""Indices of the kernels among a Keras model's weights, found by layer class."""

from __future__ import annotations

from tfunlearn.core.lazy import tf

LAYERS = (
    "Dense",
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
ATTRIBUTES = ("kernel", "depthwise_kernel", "pointwise_kernel")


def kernels_of(model: tf.keras.Model, *, convolutions_only: bool = False) -> list[int]:
    """Return the indices in `model.get_weights()` of the kernels of Dense and convolution layers.

    Biases, normalization layers, embeddings and all other weights are excluded; shared layers count
    once.

    Args:
        model: a built Keras model; nested models are included.
        convolutions_only: whether to exclude Dense layers; default False.
    """
    names = [name for name in LAYERS if not (convolutions_only and name == "Dense")]
    kinds = tuple(getattr(tf.keras.layers, name) for name in names)
    found = set()
    for layer in _layers(model):
        if isinstance(layer, kinds):
            found |= {id(getattr(layer, name, None)) for name in ATTRIBUTES}
    return [place for place, weight in enumerate(model.weights) if id(weight) in found]


def _layers(model):
    """Return every layer, including those inside nested models and wrappers."""
    if hasattr(model, "_flatten_layers"):
        return model._flatten_layers(include_self=False)
    return model.submodules
