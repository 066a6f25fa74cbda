"""One contract for every partition, then what is special to each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.datasets import (
    PARTITIONS,
    LabeledData,
    check_partition,
    column,
    from_file,
    group,
    partition_kind,
)

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


def test_a_column_makes_its_values_the_clients(data, rng):
    data = dataclasses.replace(data, columns={"site": np.array(["b", "a", "b", "c"] * 100)})
    parts, names = column(data, clients=None, name="site", rng=rng)
    assert names == ("a", "b", "c") and parts[0].tolist() == list(range(1, 400, 4))
    assert [len(part) for part in parts] == [100, 200, 100]
    again, same = column(data, clients=3, name="site", rng=rng)  # a stored run names the number
    assert same == names and all(np.array_equal(a, b) for a, b in zip(parts, again))
    fewer, names = column(data, clients=2, name="site", rng=rng)
    assert names is None and sorted(np.concatenate(fewer)) == list(range(400))
    with pytest.raises(UserError, match="4 clients but column site has 3 values"):
        column(data, clients=4, name="site", rng=rng)
    with pytest.raises(UserError, match="column:sit must name a column .*did you mean 'site'"):
        column(data, clients=None, name="sit", rng=rng)


def test_a_file_names_the_clients(data, tmp_path):
    data = dataclasses.replace(data, ids=np.array([f"n{k}" for k in range(400)]))
    path = tmp_path / "clients.csv"
    path.write_text("id,client\n" + "".join(f"n{k},{'xy'[k % 2]}\n" for k in reversed(range(400))))
    parts, names = from_file(data, path=str(path))
    assert names == ("x", "y") and parts[0].tolist() == list(range(0, 400, 2))
    path.write_text("client\n" + "z\n" * 400)
    assert [len(part) for part in from_file(data, path=str(path))[0]] == [400]
    for text, message in (
        ("client\n" + "z\n" * 399, "one row for each of 400 training examples; got 399"),
        ("id,client\nn0,x\n", "every training example; got none for 'n1' and 398 more"),
        ("id,owner\nn0,x\n", "must have a column client"),
        ("id,client\nn0,\n", "filled in every row"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            from_file(data, path=str(path))
    path.write_text("id,client\nn0,x\n")
    with pytest.raises(UserError, match="synthetic has no identifiers"):
        from_file(dataclasses.replace(data, ids=None), path=str(path))


def test_quantity_is_log_normal_and_leaves_nobody_out(data):
    equal = PARTITIONS["quantity"](data, clients=10, sigma=0.0, rng=np.random.default_rng(0))
    assert {len(part) for part in equal} == {40}
    rng, many = np.random.default_rng(0), 20_000
    big = dataclasses.replace(
        data, features=np.zeros((many, 1)), labels=np.zeros(many, int), writers=None, rows=None
    )
    sizes = [
        len(part)
        for _ in range(40)
        for part in PARTITIONS["quantity"](big, clients=10, sigma=0.7, rng=rng)
    ]
    logs = np.log(sizes).reshape(40, 10)  # normal but for the common sum
    spread = np.sqrt(logs.var(axis=1, ddof=1).mean())
    assert 0.62 < spread < 0.78 and min(sizes) >= 1
    wild = PARTITIONS["quantity"](data, clients=100, sigma=8.0, rng=rng)
    assert min(map(len, wild)) >= 1 and sum(map(len, wild)) == 400


def test_feature_skew_gives_bands(data):
    values = np.zeros((400, 2), np.float32)
    values[:, 0] = np.random.default_rng(1).permutation(400)
    lined = dataclasses.replace(data, features=values)
    parts = PARTITIONS["features"](lined, clients=4, skew=1.0, rng=np.random.default_rng(0))
    spans = sorted((values[part, 0].min(), values[part, 0].max()) for part in parts)
    assert spans == [(0, 99), (100, 199), (200, 299), (300, 399)]
    mixed = PARTITIONS["features"](lined, clients=4, skew=0.0, rng=np.random.default_rng(0))
    assert min(np.ptp(values[part, 0]) for part in mixed) > 300
    half = PARTITIONS["features"](lined, clients=4, skew=0.5, rng=np.random.default_rng(0))
    assert {len(part) for part in half} == {100}
    with pytest.raises(UserError, match="needs numbers or images; synthetic has token ids"):
        PARTITIONS["features"](
            dataclasses.replace(
                lined,
                features=values.astype(np.int32),
                test_features=values[:5].astype(np.int32),
                vocabulary=400,
            ),
            clients=4,
            skew=1.0,
            rng=np.random.default_rng(0),
        )


def test_groups_of_labels(data):
    rng = np.random.default_rng(0)
    parts = group(data, clients=20, p=1.0, rng=rng)
    assert all(len(np.unique(data.labels[part])) == 1 for part in parts)
    many = dataclasses.replace(
        data,
        features=np.zeros((30_000, 1)),
        labels=np.arange(30_000) % 10,
        writers=None,
        rows=None,
    )
    parts = group(many, clients=10, p=0.7, rng=rng)
    counts = np.stack([np.bincount(many.labels[part], minlength=10) for part in parts])
    own = counts.max(axis=0) / 3000  # one group of one client a label
    assert np.allclose(own, 0.7, atol=0.03)
    rest = np.sort(counts, axis=0)[:-1] / 3000
    assert np.allclose(rest, 0.3 / 9, atol=0.015)
    with pytest.raises(UserError, match="at least one client for each of 10 classes; got 9"):
        group(data, clients=9, p=0.5, rng=rng)
    with pytest.raises(UserError, match="from 1/10 .iid. to 1; got 0.05"):
        group(data, clients=10, p=0.05, rng=rng)


def test_dirichlet_is_drawn_again_until_all_have_enough(data):
    def draw(**options):
        return PARTITIONS["dirichlet"](
            data, clients=8, alpha=0.3, rng=np.random.default_rng(5), **options
        )

    plain = draw()
    least = min(map(len, plain))
    assert all(np.array_equal(a, b) for a, b in zip(plain, draw(min_examples=least)))
    assert min(map(len, draw(min_examples=least + 4, redraws=200))) >= least + 4
    with pytest.raises(UserError, match="must have 50 examples; got .* in 4 draws of dirichlet"):
        draw(min_examples=50, redraws=3)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("iid", ("iid", "")),
        ("column:a:b", ("column", "a:b")),
        ("group:0.5", ("group", "0.5")),
    ],
)
def test_what_a_partition_is_called(text, expected):
    assert partition_kind(text) == expected


def test_partitions_of_no_kind():
    assert partition_kind("a.csv")[0] == "file"
    for text, message in (
        ("group:x", "the P of group:P must be a number; got 'x'"),
        ("colum", "unknown name 'colum'"),
        ("column:", "unknown name"),
    ):
        with pytest.raises(UserError, match=message):
            partition_kind(text)
