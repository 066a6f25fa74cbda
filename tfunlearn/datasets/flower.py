"""Flower's partitioned data sets: partitions become clients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfunlearn.core.errors import UserError, refuse
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.datasets.table import TableSettings, data_of_tables, held_out_parts
from tfunlearn.datasets.table_reading import RawTable

CLIENT = "partition"


def from_flower(partitioner: Any, *, name: str = "flower", **settings: Any) -> LabeledData:
    """Return the data of a partitioner of Flower Datasets as a data set.

    Each partition is a natural client, named by its natural identifier where it has one, else by
    its number; the partition `writers` keeps them apart. A share of every class is held out for
    testing. Returned from a function, it is a data set for the command line:
    `--dataset my_data.py:load`.

    Args:
        partitioner: a partitioner with its `dataset` assigned, such as
            `NaturalIdPartitioner(partition_by="hospital")`.
        name: name of the data; default `"flower"`.
        **settings: fields of `TableSettings`, such as `label_column` and `text_column`.

    Raises:
        UserError: it has no partitions, `test_file` is given, or its columns do not fit; see
            `load_table`.
    """
    refuse("test_file", settings.get("test_file"), "test_file" not in settings, "of a partitioner")
    if not hasattr(partitioner, "load_partition") or not hasattr(partitioner, "num_partitions"):
        raise UserError(
            f"dataset: must be a partitioner of flwr-datasets; got {type(partitioner).__name__}"
        )
    columns: dict[str, list] = {}
    named = getattr(partitioner, "partition_id_to_natural_id", None) or {}
    for client in range(partitioner.num_partitions):
        part = partitioner.load_partition(client)
        if CLIENT in part.column_names:
            raise UserError(f"dataset: {name} must have no column {CLIENT!r}; rename it")
        for column in part.column_names:
            columns.setdefault(column, []).extend(part[column])
        if "client_column" not in settings:
            owner = str(named.get(client, client))
            columns.setdefault(CLIENT, []).extend([owner] * len(part))
    table = RawTable(name, {key: _objects(values) for key, values in columns.items()}, {})
    own = TableSettings(**{"client_column": CLIENT, **settings})
    return data_of_tables(name, held_out_parts(table, own), own, {})


def _objects(values: list) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found
