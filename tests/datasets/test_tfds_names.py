"""Data sets named `tfds:NAME`, prepared here in the form of TensorFlow Datasets."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_files import iris, tfds_set

from tfunlearn.core.errors import UserError
from tfunlearn.datasets.tfds_names import TfdsSettings, load_tfds

TEXTS = {"text": ["a b", "c a", "a a", "b"] * 3, "label": [0, 1] * 6}


def test_one_vector_is_numbers_and_a_share_is_held_out(tmp_path):
    data = load_tfds(iris(tmp_path), str(tmp_path / "data"), TfdsSettings())
    assert data.features.dtype == np.float32 and data.features.shape == (120, 4)
    assert np.bincount(data.test_labels).tolist() == [10, 10, 10]
    part = load_tfds("tfds:iris", str(tmp_path / "data"), TfdsSettings(train_split="train[:50%]"))
    assert len(part.labels) + len(part.test_labels) == 75
    again = load_tfds("tfds:iris", str(tmp_path / "data"), TfdsSettings(), dict(data.prepared))
    np.testing.assert_array_equal(again.features, data.features)


def test_text_images_and_tables(tmp_path):
    import tensorflow_datasets as tfds

    kinds = tfds.features
    yes = kinds.ClassLabel(names=["no", "yes"])
    text = tfds_set(
        *(tmp_path, "tiny_text", "1.0.0", {"text": kinds.Text(), "label": yes}),
        *({"train": TEXTS, "test": TEXTS}, ("text", "label")),
    )
    data = load_tfds(text, str(tmp_path / "data"), TfdsSettings(sequence_length=3))
    assert data.class_names == ("no", "yes") and data.features.dtype == np.int32
    words = {tuple(row) for row in data.features.tolist()}
    assert words == {(2, 3, 0), (4, 2, 0), (2, 2, 0), (3, 0, 0)}  # a, b, c by how often they occur
    pictures = np.arange(48, dtype=np.uint8).reshape(12, 2, 2, 1)
    own = {"image": kinds.Image(shape=(2, 2, 1)), "label": yes, "id": np.int64}
    columns = {"image": pictures, "label": [0, 1] * 6, "id": range(12)}
    image = tfds_set(tmp_path, "tiny_images", "1.0.0", own, {"train": columns}, ("image", "label"))
    data = load_tfds(image, str(tmp_path / "data"), TfdsSettings(test_share=0.5))
    assert data.is_image and data.input_shape == (2, 2, 1)
    everything = np.sort(np.concatenate([data.features, data.test_features]).ravel())
    np.testing.assert_array_equal(everything, np.arange(48))
    columns = {"age": [1.0, 3.0] * 6, "sex": ["f", "m"] * 6, "died": [0, 1] * 6}
    table = tfds_set(
        *(tmp_path, "tiny_table", "1.0.0"),
        *({"age": np.float32, "sex": kinds.Text(), "died": yes}, {"train": columns}),
    )
    data = load_tfds(table, str(tmp_path / "data"), TfdsSettings(label_key="died"))
    assert sorted(data.feature_names) == ["age", "sex=f", "sex=m"]
    with pytest.raises(UserError, match="label_key: tiny_table has the features .*; got 'label'"):
        load_tfds(table, str(tmp_path / "data"), TfdsSettings())


def test_what_does_not_fit_is_refused(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    from tfunlearn.datasets import tfds_images

    nested = {"place": {"x": np.float32}, "label": np.int64}
    columns = {"place": [{"x": 1.0}, {"x": 2.0}], "label": [0, 1]}
    name = tfds_set(tmp_path, "tiny_nested", "1.0.0", nested, {"train": columns})
    with pytest.raises(UserError, match="feature 'place' of tiny_nested is nested"):
        load_tfds(name, str(tmp_path / "data"), TfdsSettings())
    iris(tmp_path)
    with pytest.raises(UserError, match="train_split: must be of the splits train; got 'all'"):
        load_tfds("tfds:iris", str(tmp_path / "data"), TfdsSettings(train_split="all"))
    with pytest.raises(UserError, match="has no 'irs'; did you mean 'iris'"):
        load_tfds("tfds:irs", str(tmp_path / "data"), TfdsSettings())

    def unreachable(url):
        raise OSError("no route")

    monkeypatch.setattr(tfds_images, "require_host", unreachable)
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", lambda self: pytest.fail("tried")
    )
    with pytest.raises(UserError, match="iris is not under .*no route.*prepare it"):
        load_tfds("tfds:iris", str(tmp_path / "none"), TfdsSettings())
