"""Layer types by Keras class, with the same names for Keras 2 and Keras 3."""

from __future__ import annotations

import functools

from tfunlearn.core.lazy import tf

ELEMENTWISE = frozenset(
    (
        "Activation",
        "ActivityRegularization",
        "AlphaDropout",
        "Dropout",
        "ELU",
        "GaussianDropout",
        "GaussianNoise",
        "LeakyReLU",
        "PReLU",
        "ReLU",
        "Relu",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "ThresholdedReLU",
    )
)
INACTIVE = frozenset(
    (  # layers that return their input unchanged in inference
        "ActivityRegularization",
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    )
)
NORMS = ("BatchNormalization", "GroupNormalization", "LayerNormalization")
SUMS = ("Add", "Average", "Subtract", "Maximum", "Minimum", "Multiply")
_SPATIAL = ("AveragePooling", "Cropping", "MaxPooling", "UpSampling", "ZeroPadding")
_LEFT_ALONE = {
    "DepthwiseConv1D": "depthwise convolution",
    "DepthwiseConv2D": "depthwise convolution",
    "SeparableConv1D": "separable convolution",
    "SeparableConv2D": "separable convolution",
    "Conv1DTranspose": "transposed convolution",
    "Conv2DTranspose": "transposed convolution",
    "Conv3DTranspose": "transposed convolution",
}
_OPERATIONS = {"Add": "Add", "Relu": "Relu"}  # Keras 3 operations created by Python operators
_SYMBOLS = {"__operators__.add": "Add", "math.add": "Add", "nn.relu": "Relu"}  # the same in Keras 2
_HARMLESS = {"get_config", "from_config"}  # subclass methods without effect on outputs


def kind_of(layer) -> str:
    """Return the name of the Keras class whose computation `layer` performs, or an empty string.

    A subclass counts as its Keras class if it defines no methods except constructor and
    configuration; for any other class the result is empty.
    """
    if type(layer).__name__ == "TFOpLambda":
        return _SYMBOLS.get(layer.symbol, "")
    if has_other_kernel(layer):
        return ""
    return _kind_of_class(type(layer))


def has_other_kernel(layer) -> bool:
    """Return whether Keras 3 has replaced the kernel of a layer (quantization or LoRA)."""
    return bool(getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False))


@functools.cache
def _kind_of_class(own: type) -> str:
    if not issubclass(own, tf.keras.layers.Layer):
        return _OPERATIONS.get(own.__name__, "")
    for kind in own.__mro__:
        if kind.__module__.partition(".")[0] in ("keras", "tf_keras"):
            return kind.__name__
        if any(_is_own_work(name, value) for name, value in vars(kind).items()):
            return ""
    return ""


def _is_own_work(name: str, value) -> bool:
    """Return whether an attribute of a subclass may change the computation of the layer."""
    if not (callable(value) or isinstance(value, property)) or name in _HARMLESS:
        return False
    return name == "__call__" or not name.startswith("__")


def is_conv(layer) -> bool:
    """Return whether a layer is a convolution with prunable filters, or a subclass of one."""
    return _is_a(type(layer), ("Conv1D", "Conv2D", "Conv3D")) and not left_alone(layer)


def is_dense(layer) -> bool:
    """Return whether a layer is a Dense layer or a subclass of it."""
    return _is_a(type(layer), ("Dense",))


@functools.cache
def _is_a(own: type, names: tuple[str, ...]) -> bool:
    return issubclass(own, tuple(getattr(tf.keras.layers, name) for name in names))


def left_alone(layer) -> str | None:
    """Return the reason why a kind of convolution is not pruned, or None."""
    for kind in type(layer).__mro__:
        if kind.__name__ in _LEFT_ALONE:
            return f"{_LEFT_ALONE[kind.__name__]}, left alone"
    return None


def keeps_channels(kind: str) -> bool:
    """Return whether a layer type processes each channel separately and preserves channels."""
    return kind in ELEMENTWISE or (kind.startswith(_SPATIAL) and "Global" not in kind)
