"""One contract for every partition, then what is special to each."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.datasets import PARTITIONS, LabeledData, check_partition

OPTIONS = {
    "iid": {},
    "dirichlet": {"alpha": 1.0},
    "classes": {"per_client": 2},
    "writers": {},
    "overlapping": {},
    "quantity": {"sigma": 1.0},
    "features": {"skew": 0.7},
}


@pytest.fixture
def data(rng):
    labels = rng.integers(0, 10, 400).astype(np.int32)
    writers = np.sort(rng.integers(0, 25, 400)).astype(np.int32)[rng.permutation(400)]
    images = rng.integers(0, 256, (400, 4, 4, 1)).astype(np.uint8)
    return LabeledData("synthetic", images, labels, images[:5], labels[:5], 10, writers)


def parts_of(name, data, clients=10, seed=3):
    return PARTITIONS[name](data, clients=clients, rng=np.random.default_rng(seed), **OPTIONS[name])


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_example_goes_to_one_client_and_the_seed_decides(name, data):
    parts = parts_of(name, data)
    assert len(parts) == 10 and all(len(part) for part in parts)
    check_partition(parts, 400, disjoint=name != "overlapping")
    again, other = parts_of(name, data), parts_of(name, data, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again))
    assert not all(np.array_equal(a, b) for a, b in zip(parts, other))


def test_overlapping_shares_are_equal_and_overlap_as_chance_has_it(data):
    parts = parts_of("overlapping", data)
    assert {len(np.unique(part)) for part in parts} == {40}
    others = np.concatenate(parts[1:])
    shared = np.mean(
        [
            np.isin(
                parts_of("overlapping", data, seed=seed)[0],
                np.concatenate(parts_of("overlapping", data, seed=seed)[1:]),
            ).mean()
            for seed in range(30)
        ]
    )
    assert abs(shared - (1 - 0.9**9)) < 0.03  # 61.3 %
    with pytest.raises(AssertionError):
        check_partition(parts, 400)
    assert len(others) == 360


def test_iid_shares_are_equal(data):
    assert {
        len(part) for part in PARTITIONS["iid"](data, clients=7, rng=np.random.default_rng(0))
    } == {57, 58}


def test_small_alpha_concentrates_classes(data):
    def spread(alpha):
        parts = PARTITIONS["dirichlet"](data, clients=5, alpha=alpha, rng=np.random.default_rng(0))
        counts = np.stack([np.bincount(data.labels[part], minlength=10) for part in parts])
        return (counts.max(axis=0) / counts.sum(axis=0)).mean()

    assert spread(0.05) > 0.6 > 0.35 > spread(100.0)


def test_one_class_per_client(data):
    parts = PARTITIONS["classes"](data, clients=10, per_client=1, rng=np.random.default_rng(0))
    held = [np.unique(data.labels[part]) for part in parts]
    assert all(len(labels) == 1 for labels in held)
    assert sorted(int(labels[0]) for labels in held) == list(range(10))


@pytest.mark.parametrize("per_client, clients", [(3, 4), (4, 9), (10, 3)])
def test_k_classes_per_client(data, per_client, clients):
    parts = PARTITIONS["classes"](
        data, clients=clients, per_client=per_client, rng=np.random.default_rng(0)
    )
    assert all(len(np.unique(data.labels[part])) == per_client for part in parts)
    check_partition(parts, 400)


def test_writers_are_never_torn_apart(data):
    for clients in (25, 6):
        parts = parts_of("writers", data, clients=clients)
        owners = [set(data.writers[part]) for part in parts]
        assert sum(map(len, owners)) == 25 and set.union(*owners) == set(range(25))


def test_refusals(data, rng):
    for per_client in (0, 11):
        with pytest.raises(UserError, match="classes_per_client"):
            PARTITIONS["classes"](data, clients=10, per_client=per_client, rng=rng)
    with pytest.raises(UserError, match="cannot hold"):
        PARTITIONS["classes"](data, clients=3, per_client=2, rng=rng)
    with pytest.raises(UserError, match="26 clients but synthetic has 25 writers"):
        parts_of("writers", data, clients=26)
    nameless = LabeledData("plain", data.features, data.labels, data.features, data.labels, 10)
    with pytest.raises(UserError, match="plain has none"):
        parts_of("writers", nameless)
    with pytest.raises(UserError, match="1 of 401 clients got no example .client 400 first"):
        check_partition(parts_of("iid", data, clients=401), 400)
