"""Text as token ids, by Keras' TextVectorization outside the model.

The vocabulary is fitted on the training examples only. Vocabulary and arguments are plain JSON, of
which either Keras rebuilds the same layer; a layer inside a model file would lose them (Keras 3,
.h5) or open only in the Keras that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, choose, require
from tfunlearn.core.fields import option
from tfunlearn.core.lazy import tf
from tfunlearn.datasets.class_names import Place

SPLITS = {"whitespace": "words", "character": "characters"}
_BATCH = 1024


@dataclass(frozen=True)
class TextSettings:
    """Settings of data with text."""

    vocabulary_size: int = option(
        5000, "Most token ids of a text, with 0 for padding and 1 for unknown words."
    )
    sequence_length: int = option(64, "Token ids per text; longer texts are cut, shorter padded.")
    text_split: str = option("whitespace", f"Tokens of a text: {', '.join(SPLITS)}.")

    def __post_init__(self):
        choose("text_split", self.text_split, SPLITS)
        for name, least in (("vocabulary_size", 3), ("sequence_length", 1)):
            value = getattr(self, name)
            require(name, value, least <= value <= 10**6, f"from {least} to 1000000")


def fit_text(texts: Sequence[str], own: TextSettings) -> dict[str, Any]:
    """Return vocabulary and arguments of a TextVectorization, fitted on texts, as JSON holds it.

    Letters are lowered (ASCII only: the vocabulary keeps accented capitals apart) and punctuation
    is removed.
    """
    made = dict(
        kind="text",
        standardize="lower_and_strip_punctuation",
        split=own.text_split,
        length=own.sequence_length,
    )
    layer = _layer(made, max_tokens=own.vocabulary_size)
    layer.adapt(tf.data.Dataset.from_tensor_slices(list(texts)).batch(_BATCH))
    words = layer.get_vocabulary(include_special_tokens=False)
    if not words:
        raise UserError("dataset: texts must have at least one word in the training data; got none")
    return {**made, "vocabulary": [str(word) for word in words]}


def apply_text(fitted: Mapping[str, Any], texts: Sequence[Any], place: Place) -> np.ndarray:
    """Return texts as token ids, int32 `(n, length)`.

    Raises:
        UserError: a text is missing.
    """
    require_texts(texts, place)
    layer = _layer(fitted, vocabulary=list(fitted["vocabulary"]))
    found = [
        np.asarray(layer(tf.constant(list(texts[first : first + _BATCH]))))
        for first in range(0, len(texts), _BATCH)
    ]
    return np.concatenate(found).astype(np.int32)


def require_texts(texts: Sequence[Any], place: Place) -> None:
    """Check that no text is missing or empty."""
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"dataset: {place(row)}: no text; give one, or remove the row")


def vocabulary_of(fitted: Mapping[str, Any]) -> int:
    """Return the number of token ids: the words, padding and the unknown word."""
    return len(fitted["vocabulary"]) + 2


def _layer(arguments: Mapping[str, Any], **more: Any) -> Any:
    return tf.keras.layers.TextVectorization(
        standardize=arguments["standardize"],
        split=arguments["split"],
        output_mode="int",
        output_sequence_length=arguments["length"],
        **more,
    )
