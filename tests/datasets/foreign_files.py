"""Files in the forms of other libraries: client data of TFF, data sets of TensorFlow Datasets."""

from __future__ import annotations

import pathlib
import sqlite3

import numpy as np


def client_database(folder: pathlib.Path) -> pathlib.Path:
    """Return an SQLite file as TFF saves it: 200 digits of four clients."""
    import tensorflow as tf
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.data[:200].astype(np.float32) / 16, digits.target[:200]
    path = folder / "clients.sqlite"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL, "
            "serialized_example_proto BLOB)"
        )
        connection.execute(
            "CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL, "
            "num_examples INTEGER NOT NULL)"
        )
        for client in range(4):
            connection.execute(
                "INSERT INTO client_metadata VALUES (?, 'default_split', 50)", [f"c{client}"]
            )
            for row in range(50 * client, 50 * client + 50):
                features = {
                    "pixels": tf.train.Feature(float_list=tf.train.FloatList(value=x[row])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[y[row]])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                connection.execute(
                    "INSERT INTO examples VALUES ('default_split', ?, ?)",
                    [f"c{client}", example.SerializeToString()],
                )
    connection.close()
    return path


def tfds_set(folder: pathlib.Path, name: str, version: str, features, splits, keys=None) -> str:
    """Prepare a data set below `folder`/data as TensorFlow Datasets does, and return its name.

    Args:
        folder: the folder.
        name: name of the data set.
        version: its version.
        features: name to feature, of `tfds.features`.
        splits: split to columns, name to values `(n,)`.
        keys: names of features and label in the supervised form; default none.
    """
    import tensorflow_datasets as tfds

    class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        RELEASE_NOTES = {}
        pkg_dir_path = folder

        def _info(self):
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=keys
            )

        def _split_generators(self, manager):
            return {
                split: [
                    (row, dict(zip(columns, values)))
                    for row, values in enumerate(zip(*columns.values()))
                ]
                for split, columns in splits.items()
            }

        def _generate_examples(self):
            raise NotImplementedError  # the splits are lists

    Prepared.name = name
    Prepared(data_dir=str(folder / "data")).download_and_prepare()
    return f"tfds:{name}"


def iris(folder: pathlib.Path) -> str:
    """Prepare Fisher's iris, of scikit-learn, under the name and version of the public set."""
    import tensorflow_datasets as tfds
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    features = {
        "features": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        "label": tfds.features.ClassLabel(num_classes=3),
    }
    columns = {"features": x.astype(np.float32), "label": y}
    version = str(tfds.builder_cls("iris").VERSION)
    return tfds_set(folder, "iris", version, features, {"train": columns}, ("features", "label"))
