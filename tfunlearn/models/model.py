"""The declaration of a model, and the family of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.declarations import TRAIN_FLAGS
from tfunlearn.core.errors import choose
from tfunlearn.core.families import Family, Method
from tfunlearn.core.fields import option, reporting, require_positional, settings_of, summary_of
from tfunlearn.models.blocks import NORMS


@dataclass(frozen=True)
class NormSettings:
    """Settings of networks with normalization layers."""

    norm: str | None = option(None, f"Normalization layers: {', '.join(NORMS)}; none: batch.")

    def __post_init__(self):
        if self.norm is not None:
            choose("norm", self.norm, NORMS)


@dataclass(frozen=True, kw_only=True)
class Model(Method):
    """A named Keras model.

    Attributes:
        build: `(input shape, classes, seed, own settings) -> keras.Model`.
        sizes: number of weights for 28x28x1 and 32x32x3 images and 10 classes; default None, which
            lists have to build the model for.
    """

    build: Callable[[tuple[int, ...], int, int, Any], Any]
    sizes: tuple[int, int] | None = None


def built_by(function: Callable) -> Callable:
    """Return the `build` of a function `(input_shape, classes, *, seed, settings ...)`.

    Settings that are None are omitted, so that the function's own defaults apply.
    """

    def build(input_shape: tuple[int, ...], classes: int, seed: int, own: Any) -> Any:
        given = {name: value for name, value in vars(own).items() if value is not None}
        return function(input_shape, classes, seed=seed, **given)

    return build


def _model_of(name: str, function: Callable) -> Model:
    require_positional(function, 2, "a function `(input_shape, classes, *, seed)`")
    function = reporting("model", function)

    def build(input_shape: tuple[int, ...], classes: int, seed: int, own: Any) -> Any:
        return function(input_shape, classes, seed=seed, **vars(own))

    return Model(
        name=name,
        summary=summary_of(function, name),
        build=build,
        settings=settings_of(function, given=("seed",)),
    )


MODELS: Family[Model] = Family(
    "model",
    field="model",
    kind=Model,
    package="tfunlearn.models",
    adapt=_model_of,
    takes="a function `(input_shape, classes, *, seed) -> keras.Model`",
    flags=TRAIN_FLAGS,
)
