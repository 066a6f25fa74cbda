"""Models that compute in mixed precision: weights float32, layers in a shorter type."""

from __future__ import annotations

from typing import Any

from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.lazy import tf

PRECISIONS = {"float32": "float32", "mixed-bfloat16": "bfloat16"}  # name -> dtype of the layers


def in_precision(model: tf.keras.Model, precision: str) -> tf.keras.Model:
    """Return a model with the same layers that computes in a precision; weights stay float32.

    The last layer with weights and those after it compute in float32, so that class scores keep
    their precision. No loss scaling
    is needed: bfloat16 has the exponents of float32.

    Args:
        model: a built Keras model.
        precision: a name of `PRECISIONS`.

    Raises:
        UserError: Keras 2, nested models, or layers that their configuration does not rebuild.
    """
    if precision == "float32":
        return model
    if not hasattr(tf.keras, "StatelessScope"):
        raise UserError(
            f"precision: must be float32 with Keras 2 (engine tff, or TensorFlow before 2.16); got "
            f"{precision}"
        )
    if any(isinstance(layer, tf.keras.Model) for layer in model.layers):
        raise UserError(
            f"precision: must be float32 for a model with nested models; got {precision}"
        )
    places = [place for place, layer in enumerate(model.layers) if layer.weights]
    after = model.layers[max(places) :]

    def rebuilt(layer: Any) -> Any:
        settings = layer.get_config()
        kept = layer in after or isinstance(layer, tf.keras.layers.InputLayer)
        if not kept and "dtype" in settings:
            settings["dtype"] = precision.replace("-", "_")
        return layer.__class__.from_config(settings)

    try:
        twin = tf.keras.models.clone_model(model, clone_function=rebuilt)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"precision: must be float32 for a model whose layers cannot be rebuilt "
            f"({first_line(error)}); got {precision}"
        )
    twin.set_weights(model.get_weights())
    return twin
