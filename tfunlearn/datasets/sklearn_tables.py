"""Two small real tables that scikit-learn ships, as offline examples of tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfunlearn.datasets.columns import apply_columns, feature_names, fit_columns
from tfunlearn.datasets.dataset import DataSet, loaded_by
from tfunlearn.datasets.held_out import DEFAULT_SHARE, held_out
from tfunlearn.datasets.labeled_data import LabeledData


def breast_cancer(data_dir: str | None = None) -> LabeledData:
    """Return 569 tumors with 30 measurements each, malignant or benign, 20 % held out.

    Args:
        data_dir: not used; the table is part of scikit-learn.

    Reference:
        Wolberg, Mangasarian & Street, "Breast Cancer Wisconsin (Diagnostic)", UCI repository, 1995.
    """
    from sklearn.datasets import load_breast_cancer

    return _split("breast-cancer", load_breast_cancer)


def wine(data_dir: str | None = None) -> LabeledData:
    """Return 178 wines of three cultivars with 13 measurements each, 20 % held out.

    Args:
        data_dir: not used; the table is part of scikit-learn.

    Reference:
        Aeberhard & Forina, "Wine", UCI repository, 1991.
    """
    from sklearn.datasets import load_wine

    return _split("wine", load_wine)


def _split(name: str, load: Callable[[], Any]) -> LabeledData:
    """Return a table with standardized columns, fitted on the training rows."""
    table = load()
    mask = held_out(table.target, DEFAULT_SHARE)
    columns = {str(key): table.data[:, n] for n, key in enumerate(table.feature_names)}
    parts = [{key: values[rows] for key, values in columns.items()} for rows in (~mask, mask)]
    fitted = fit_columns(parts[0], lambda row: name)
    features = [apply_columns(fitted, part, lambda row: name) for part in parts]
    return LabeledData(
        name,
        features[0],
        table.target[~mask],
        features[1],
        table.target[mask],
        len(table.target_names),
        class_names=tuple(map(str, table.target_names)),
        ids=np.flatnonzero(~mask).astype(str),
        test_ids=np.flatnonzero(mask).astype(str),
        feature_names=feature_names(fitted),
        prepared=dict(classes=list(map(str, table.target_names)), features=fitted),
    )


BREAST_CANCER = DataSet(
    name="breast-cancer",
    load=loaded_by(breast_cancer),
    paper="Wolberg et al. 1995",
    summary="569 tumors, 30 measurements, malignant or benign (embedded)",
    kind="table",
)
WINE = DataSet(
    name="wine",
    load=loaded_by(wine),
    paper="Aeberhard & Forina 1991",
    summary="178 wines, 13 measurements, three cultivars (embedded)",
    kind="table",
)
