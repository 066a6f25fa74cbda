"""Names of weights that say which layer they belong to, alike under Keras 2 and Keras 3."""

from __future__ import annotations

from typing import Any


def weight_name(weight: Any) -> str:
    """Return the name of a Keras weight with that of its layer, such as `conv_1/kernel`.

    Keras 3 keeps it as `path`, beside a `name` without the layer; Keras 2 as `name`, with `:0`.
    """
    return getattr(weight, "path", None) or weight.name.partition(":")[0]


def weight_names(model: Any) -> list[str]:
    """Return the name of each weight of a model, without the model's own name before it."""
    return [weight_name(weight).removeprefix(f"{model.name}/") for weight in model.weights]
