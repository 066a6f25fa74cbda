"""Any data set of TensorFlow Datasets by name: images, text, numbers, or a table of columns."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, first_line, nearest
from tfunlearn.core.fields import option
from tfunlearn.datasets.class_names import as_texts, classes_of_labels, encode, named_classes
from tfunlearn.datasets.columns import apply_columns, feature_names, fit_columns
from tfunlearn.datasets.held_out import HeldOutSettings, held_out
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.tokens import TextSettings, apply_text, fit_text, vocabulary_of


@dataclass(frozen=True)
class TfdsSettings(TextSettings, HeldOutSettings):
    """Settings of data sets of TensorFlow Datasets."""

    train_split: str | None = option(
        None, "Split of the training examples, such as train[:80%]; none: train."
    )
    test_split: str | None = option(
        None, "Split of the test examples; none: test, or else a share of every class."
    )
    label_key: str | None = option(
        None, "Name of the labels; none: that of the data set's supervised form, or label."
    )

    def __post_init__(self):
        TextSettings.__post_init__(self)
        HeldOutSettings.__post_init__(self)


def load_tfds(
    path: str, data_dir: str, own: TfdsSettings, prepared: Mapping | None = None
) -> LabeledData:
    """Return a data set of TensorFlow Datasets.

    The supervised form (`as_supervised`) names features and labels; without it the label is `label`
    and all other features are used. Images must have one size.

    Args:
        path: `tfds:NAME` or `tfds:NAME/CONFIG`.
        data_dir: folder of prepared data sets; others are downloaded to it.
        own: settings.
        prepared: what a run stored; default none.

    Raises:
        UserError: unknown name or split, no network, or features of a kind that is not supported.
    """
    name = path.partition(":")[2].replace(":", "/")
    builder = _builder(name, data_dir)
    splits = list(builder.info.splits)
    test = own.test_split or ("test" if "test" in splits else None)
    train = own.train_split or "train"
    examples = {train: _read(builder, train, splits, "train_split")}
    if test is not None:
        examples[test] = _read(builder, test, splits, "test_split")
    keys = builder.info.supervised_keys
    label = own.label_key or (keys[1] if keys else "label")
    first = examples[train]
    if label not in first:
        raise UserError(f"label_key: {name} has the features {', '.join(first)}; got {label!r}")
    named_inputs = keys[0] if keys and keys[1] == label else [key for key in first if key != label]
    if isinstance(named_inputs, Mapping):  # a table, such as titanic
        named_inputs = list(named_inputs.values())
    inputs = [named_inputs] if isinstance(named_inputs, str) else list(named_inputs)
    labels = {
        split: as_texts(_flat(found[label]), lambda row, split=split: f"{name} {split}, row {row}")
        for split, found in examples.items()
    }
    chosen = {split: np.arange(len(found)) for split, found in labels.items()}
    if test is None:
        mask = held_out(np.array(labels[train]), own.test_share)
        test = "held out"
        labels[test], examples[test] = labels[train], first
        chosen = {train: np.flatnonzero(~mask), test: np.flatnonzero(mask)}
    both = (train, test)
    labels = {split: [labels[split][row] for row in chosen[split]] for split in both}
    classes = (
        classes_of_labels(labels[train], name) if prepared is None else list(prepared["classes"])
    )
    places = {
        split: lambda row, split=split: f"{name} {split}" + (f", row {row}" if row >= 0 else "")
        for split in both
    }
    columns = [{key: examples[split][key][chosen[split]] for key in inputs} for split in both]
    fitted = None if prepared is None else prepared["features"]
    features, fitted, more = _features(name, columns, list(places.values()), own, fitted)
    named = getattr(builder.info.features[label], "names", None)
    return LabeledData(
        name.replace("/", "-"),
        features[0],
        encode(labels[both[0]], classes, places[both[0]]),
        features[1],
        encode(labels[both[1]], classes, places[both[1]]),
        len(classes),
        class_names=named_classes(classes, named),
        prepared=dict(classes=classes, features=fitted, version=str(builder.version)),
        **more,
    )


def _builder(name: str, data_dir: str) -> Any:
    logging.getLogger("absl").setLevel(logging.ERROR)
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = nearest(name.partition("/")[0], tfds.list_builders(with_community_datasets=False))
        raise UserError(f"dataset: TensorFlow Datasets has no {name!r}{known}")
    except Exception as error:  # a bad config or damaged files, of many types
        raise UserError(f"dataset: {name} cannot be opened ({first_line(error)})")
    if not builder.is_prepared():
        from tfunlearn.datasets.tfds_images import quiet_downloads, require_host

        try:
            for url in list(builder.url_infos or ())[:1]:
                require_host(url)
            with quiet_downloads():
                builder.download_and_prepare()
        except Exception as error:  # the downloader raises errors of many types
            raise UserError(
                f"dataset: {name} is not under {data_dir} and could not be downloaded "
                f"({first_line(error)}); prepare it with TensorFlow Datasets on a machine with "
                f"network and put the folder at {builder.data_dir}"
            )
    return builder


def _read(builder: Any, split: str, splits: list[str], field: str) -> dict[str, np.ndarray]:
    """Return the examples of a split: name of a feature to array; nested names are joined."""
    import tensorflow_datasets as tfds

    if split.partition("[")[0] not in splits:
        raise UserError(f"{field}: must be of the splits {', '.join(splits)}; got {split!r}")
    try:
        rows = list(tfds.as_numpy(builder.as_dataset(split=split)))
    except Exception as error:  # damaged files cause errors of many types
        folder = pathlib.Path(builder.data_dir)
        raise UserError(f"dataset: {folder} cannot be read ({first_line(error)})")
    if not rows:
        raise UserError(f"{field}: must have at least one example; got none in {split!r}")
    found = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        if isinstance(values[0], dict):
            raise UserError(
                f"dataset: feature {key!r} of {builder.name} is nested; write the examples as a "
                "table, or load them with a function (module:function)"
            )
        shapes = {np.shape(value) for value in values}
        if len(shapes) > 1:
            raise UserError(
                f"dataset: {builder.name} must have {key} of one shape; got {len(shapes)} shapes, "
                f"such as {sorted(shapes)[:2]}; resize them in a function (module:function)"
            )
        found[key] = np.array(values)
    return found


def _features(
    name: str, columns, places, own: TfdsSettings, fitted: Any
) -> tuple[list, Any, dict[str, Any]]:
    """Return the features of training and test examples, what was fitted, and what it tells."""
    only = next(iter(columns[0].values())) if len(columns[0]) == 1 else None
    if only is not None and only.ndim > 1:
        return [next(iter(part.values())) for part in columns], None, {}
    if only is not None and only.dtype.kind in "OS":
        texts = [
            [value.decode("utf-8", "replace") for value in next(iter(part.values()))]
            for part in columns
        ]
        fitted = fit_text(texts[0], own) if fitted is None else fitted
        found = [apply_text(fitted, part, place) for part, place in zip(texts, places)]
        return found, fitted, dict(vocabulary=vocabulary_of(fitted))
    for key, values in columns[0].items():
        if values.ndim > 1:
            raise UserError(
                f"dataset: {name} has several features, of which {key} is no column of a table; "
                "load it with a function (module:function)"
            )
    parts = [{key: _text_of(values) for key, values in part.items()} for part in columns]
    fitted = fit_columns(parts[0], places[0]) if fitted is None else fitted
    found = [apply_columns(fitted, part, place) for part, place in zip(parts, places)]
    return found, fitted, dict(feature_names=feature_names(fitted))


def _text_of(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "OS":
        return values
    return np.array([value.decode("utf-8", "replace") for value in values], object)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
