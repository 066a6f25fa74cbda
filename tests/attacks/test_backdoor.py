"""The patch and who gets it."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.attacks import Trigger, backdoor, poison
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError


@pytest.mark.parametrize(
    "position, rows, columns",
    [
        ("top-left", (0, 1), (0, 1)),
        ("top-right", (0, 1), (3, 4)),
        ("bottom-left", (4, 5), (0, 1)),
        ("bottom-right", (4, 5), (3, 4)),
        ("center", (2, 3), (1, 2)),
    ],
)
def test_where_the_patch_lies(position, rows, columns):
    images = np.zeros((2, 6, 5, 3), np.uint8)
    stamped = Trigger(2, position, 0.5).stamp(images)
    expected = np.zeros((6, 5), bool)
    expected[np.ix_(rows, columns)] = True
    np.testing.assert_array_equal(
        stamped, np.broadcast_to(np.where(expected, 128, 0)[None, :, :, None], stamped.shape)
    )
    assert not images.any()
    floats = Trigger(2, position, 0.5).stamp(images.astype(np.float32))
    assert set(np.unique(floats)) == {0, 0.5}


def test_a_tenth_gets_a_white_patch_of_3_by_3(rng):
    images, labels = np.zeros((50, 8, 8, 1), np.uint8), np.arange(50, dtype=np.int32) % 10
    changed, new = backdoor(images, labels, target=7, rng=rng)
    hit = changed.any(axis=(1, 2, 3))
    assert hit.sum() == 5 and (new[hit] == 7).all()
    np.testing.assert_array_equal(new[~hit], labels[~hit])
    assert (changed[hit][:, 5:, 5:] == 255).all() and changed[hit].astype(int).sum() == 5 * 9 * 255
    assert not images.any() and labels[7] == 7 and labels[0] == 0
    assert backdoor(images[:3], labels[:3], target=7, rng=rng)[0].any()  # at least one
    assert backdoor(images, labels, target=7, share=1.0, rng=rng)[0].any(axis=(1, 2, 3)).all()


def test_only_malicious_clients_get_it(rng):
    clients = ClientSet(
        np.zeros((30, 8, 8, 1), np.uint8), np.zeros(30, np.int32), np.array([0, 10, 20, 30])
    )
    poisoned = poison(
        clients,
        np.array([1]),
        lambda client, images, labels: backdoor(images, labels, target=7, rng=rng),
    )
    assert not clients.features.any()
    touched = poisoned.features.any(axis=(1, 2, 3))
    assert touched.sum() == 1 and 10 <= np.flatnonzero(touched)[0] < 20
    assert (poisoned.labels == np.where(touched, 7, 0)).all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Trigger(0), "trigger_size: .*got 0"),
        (lambda: Trigger(position="middle"), "'center'|known"),
        (lambda: Trigger(value=2.0), "trigger_value: .*got 2.0"),
        (lambda: Trigger(9).stamp(np.zeros((1, 8, 8, 1))), "trigger_size: .*1 to 8 .*8x8; got 9"),
        (
            lambda: backdoor(
                np.zeros((1, 8, 8, 1)),
                np.zeros(1),
                target=0,
                share=0.0,
                rng=np.random.default_rng(0),
            ),
            "trigger_share: .*got 0.0",
        ),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
