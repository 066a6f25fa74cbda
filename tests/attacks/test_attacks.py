"""Label flip and the choice of malicious clients."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks import choose_malicious, label_flip, poison


def test_label_flip_by_hand():
    labels = np.array([1, 7, 0, 1], np.int32)
    flipped = label_flip(labels, source=1, target=7)
    assert flipped.tolist() == [7, 7, 0, 7] and flipped.dtype == np.int32
    assert labels.tolist() == [1, 7, 0, 1]
    assert label_flip(labels, source=0, target=2).tolist() == [1, 7, 2, 1]


def test_only_malicious_clients_are_poisoned(small_clients):
    before = small_clients.labels.copy()
    poisoned = poison(
        small_clients,
        np.array([0, 2]),
        lambda client, images, labels: (images, label_flip(labels, source=1, target=2)),
    )
    np.testing.assert_array_equal(small_clients.labels, before)
    np.testing.assert_array_equal(poisoned.labels[poisoned.rows(1)], before[5:13])
    for client in (0, 2):
        rows = poisoned.rows(client)
        assert poisoned.labels[rows].tolist() == [2 if y == 1 else y for y in before[rows]]
    assert poisoned.features is small_clients.features


def test_malicious_clients_are_drawn_by_the_generator():
    draw = lambda seed: choose_malicious(50, 10, np.random.default_rng(seed)).tolist()
    assert draw(0) == draw(0) == sorted(set(draw(0))) and draw(0) != draw(1)
    assert choose_malicious(3, 0, np.random.default_rng(0)).tolist() == []
