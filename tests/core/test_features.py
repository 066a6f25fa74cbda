"""Features: rows that stay on disk, several inputs as one array, and what differs."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.core.features import (
    Rows,
    client_entries,
    client_specs,
    differing_rows,
    features_of_client,
    pack,
    replace_rows,
    shape_of,
    take_rows,
    to_unit_range,
    unpack,
)


@pytest.fixture
def on_disk(tmp_path):
    """The array [[0, 1], [2, 3], ..., [18, 19]], mapped from a file."""
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.int32).reshape(10, 2))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_rows_on_disk_are_read_when_they_are_indexed(on_disk):
    rows = take_rows(on_disk, np.array([9, 0, 4]))
    assert isinstance(rows, Rows) and rows.shape == (3, 2) and len(rows) == 3
    assert rows[:].tolist() == [[18, 19], [0, 1], [8, 9]] and rows[1].tolist() == [0, 1]
    assert rows.take(np.array([True, False, True]))[:].tolist() == [[18, 19], [8, 9]]
    changed = replace_rows(rows, np.array([False, True, False]), np.array([[7, 7]], np.int32))
    assert changed[:].tolist() == [[18, 19], [7, 7], [8, 9]] and rows[1].tolist() == [0, 1]
    again = replace_rows(changed, slice(2, 3), np.array([[6, 6]], np.int32))
    assert again[:].tolist() == [[18, 19], [7, 7], [6, 6]]
    assert again.take(np.array([2, 1]))[:].tolist() == [[6, 6], [7, 7]]
    assert again[1].tolist() == [7, 7]
    assert differing_rows(again, rows).tolist() == [False, True, True]
    assert on_disk[0].tolist() == [0, 1] and not on_disk.flags.writeable


def test_a_client_set_on_disk_equals_one_in_memory(on_disk):
    parts, labels = [np.array([3, 1]), np.array([0, 9, 8])], np.arange(10) % 3
    stays, copied = (
        ClientSet.from_partition(x, labels, parts) for x in (on_disk, np.array(on_disk))
    )
    assert isinstance(stays.features, Rows) and isinstance(copied.features, np.ndarray)
    kept = np.array([True, False, True, True, False])
    for one, other in (
        (stays, copied),
        (stays.where(kept), copied.where(kept)),
        (
            stays.with_examples(kept, -np.ones((3, 2), np.int32), np.zeros(3, int)),
            copied.with_examples(kept, -np.ones((3, 2), np.int32), np.zeros(3, int)),
        ),
    ):
        np.testing.assert_array_equal(one.features[:], other.features)
        np.testing.assert_array_equal(one.labels, other.labels)
        for client in (0, 1):
            np.testing.assert_array_equal(
                one.features[one.rows(client)], other.features[other.rows(client)]
            )


def test_several_inputs_are_one_array_and_come_apart_again():
    image, more = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), np.float32([[1], [2], [3]])
    packed = pack({"image": image, "more": more})
    assert packed.shape == (3,) and shape_of(packed) == {"image": (2, 2, 1), "more": (1,)}
    back = unpack(packed[1:])
    np.testing.assert_array_equal(back["image"], image[1:])
    np.testing.assert_array_equal(back["more"], more[1:])
    entries = client_entries(packed)
    assert (
        list(entries) == ["features_image", "features_more"] == list(client_specs(packed.dtype, ()))
    )
    assert list(features_of_client({**entries, "labels": 0})) == ["image", "more"]
    other = packed.copy()
    other["more"][2] = np.nan
    assert differing_rows(packed, other).tolist() == [False, False, True]
    assert not differing_rows(other, other.copy()).any()  # NaN is itself
    with pytest.raises(UserError, match="one row for each example; got a .3,., b .2,."):
        pack({"a": np.zeros(3), "b": np.zeros(2)})
    with pytest.raises(UserError, match="got none"):
        pack({})


def test_only_images_are_divided():
    found = to_unit_range(
        {
            "image": np.array([[0, 51, 255]], np.uint8),
            "tokens": np.array([[0, 51, 255]], np.int32),
            "more": np.float32([[7.5]]),
        }
    )
    np.testing.assert_allclose(found["image"], [[0, 0.2, 1]], rtol=1e-6)
    assert found["tokens"].tolist() == [[0, 51, 255]] and found["more"].tolist() == [[7.5]]
