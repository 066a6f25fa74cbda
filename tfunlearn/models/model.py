"""The declaration of a model, and the family of models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.declarations import TRAIN_FLAGS
from tfunlearn.core.errors import UserError, choose
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
        build: `(input shape, classes, seed, own settings) -> keras.Model`; with a fifth parameter
            also the vocabulary, the number of token ids, None without tokens.
        takes: what it takes: `"images"`, `"tokens"`, `"numbers"` (of any one shape), or None
            (default) for what only the model itself can tell.
        sizes: number of weights for 28x28x1 and 32x32x3 images and 10 classes, of a text model for
            texts of 64 of 5,000 tokens; default None, which lists have to build the model for.
    """

    build: Callable[..., Any]
    takes: str | None = None
    sizes: tuple[int, ...] | None = None

    def make(
        self, input_shape: Any, classes: int, seed: int, own: Any, vocabulary: int | None
    ) -> Any:
        """Return the model, by what `build` takes."""
        given = (input_shape, classes, seed, own, vocabulary)
        return self.build(*given[: min(5, len(inspect.signature(self.build).parameters))])


def built_by(function: Callable) -> Callable:
    """Return the `build` of a function `(input_shape, classes, *, seed, settings ...)`.

    Settings that are None are omitted, so that the function's own defaults apply. A function that
    has a parameter `vocabulary` is given the number of token ids.
    """
    embeds = "vocabulary" in inspect.signature(function).parameters

    def build(
        input_shape: Any, classes: int, seed: int, own: Any, vocabulary: int | None = None
    ) -> Any:
        given = {name: value for name, value in vars(own).items() if value is not None}
        if embeds:
            given["vocabulary"] = vocabulary
        return function(input_shape, classes, seed=seed, **given)

    return build


def _model_of(name: str, function: Callable) -> Model:
    require_positional(function, 2, "a function `(input_shape, classes, *, seed)`")
    settings = settings_of(function, given=("seed", "vocabulary"))
    embeds = "vocabulary" in inspect.signature(function).parameters
    function = reporting("model", function)

    def build(
        input_shape: Any, classes: int, seed: int, own: Any, vocabulary: int | None = None
    ) -> Any:
        more = {"vocabulary": vocabulary} if embeds else {}
        return function(input_shape, classes, seed=seed, **vars(own), **more)

    return Model(
        name=name,
        summary=summary_of(function, name),
        build=build,
        settings=settings,
    )


WORDS = {
    "images": "images (height, width, channels)",
    "tokens": "token ids (length,) with a vocabulary",
    "numbers": "numbers of one shape",
}


def require_takes(model: Model, input_shape: Any, vocabulary: int | None) -> None:
    """Check that a model takes data of a shape.

    Raises:
        UserError: it takes others; models that do are named.
    """
    fits = {
        "images": isinstance(input_shape, tuple) and len(input_shape) == 3,
        "tokens": vocabulary is not None,
        "numbers": isinstance(input_shape, tuple) and vocabulary is None,
        None: True,
    }
    if fits[model.takes]:
        return
    assert model.takes is not None
    what = "token ids of " if vocabulary is not None else ""
    others = [name for name, one in MODELS.items() if one.takes is not None and fits[one.takes]]
    raise UserError(
        f"model: {model.name} takes {WORDS[model.takes]}; the data have {what}"
        f"{shape_in_words(input_shape)}; give --model "
        f"{' or '.join([*others, 'module:function'])}"
    )


def shape_in_words(shape: Any) -> str:
    """Return a shape as text: `28x28x1`, or one for each of several inputs."""
    if isinstance(shape, Mapping):
        return ", ".join(f"{name} {shape_in_words(own)}" for name, own in shape.items())
    return "x".join(map(str, shape)) or "single numbers"


MODELS: Family[Model] = Family(
    "model",
    field="model",
    kind=Model,
    package="tfunlearn.models",
    adapt=_model_of,
    takes="a function `(input_shape, classes, *, seed) -> keras.Model`",
    flags=TRAIN_FLAGS,
)
