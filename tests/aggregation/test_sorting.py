"""Order statistics by a sorting network and by NumPy's sort: the same bits, inputs unchanged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tfunlearn.aggregation import RULES, on_arrays, sorting
from tfunlearn.aggregation.median import median
from tfunlearn.aggregation.rule import Round
from tfunlearn.aggregation.trimmed_mean import trimmed_mean

WAYS = {"network": sorting.by_network, "sort": sorting.by_sort}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38, 1.0, np.nextafter(1, 2)]


def stacks(n, d):
    """Yields stacks `(n, d)` without NaN: random, many ties, signed zeros, infinities, ordered."""
    rng = np.random.default_rng(n * 1000 + d)
    yield rng.standard_normal((n, d)).astype(np.float32)
    yield rng.integers(-2, 3, (n, d)).astype(np.float32)
    yield rng.choice(np.array([0.0, -0.0], np.float32), (n, d))
    yield rng.choice(np.array(SPECIAL, np.float32), (n, d))
    yield np.repeat(np.arange(n, 0, -1, dtype=np.float32)[:, None], d, axis=1)


def bits(values):
    """Returns the bytes of float32 values; -0, which sorts as equal to 0, becomes 0."""
    return (np.asarray(values, np.float32) + np.float32(0)).tobytes()


def ranges(n):
    """Returns all order statistics, the middle ones, those of a trimmed mean, and single ones."""
    cut = n // 5
    return {(0, n), ((n - 1) // 2, n // 2 + 1), (cut, n - cut), (0, 1), (n - 1, n)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n", range(1, 91))
def test_order_statistics_are_numpys(way, n):
    for stack in stacks(n, 7):
        expected = np.sort(stack, axis=0)
        for first, last in ranges(n):
            assert bits(WAYS[way](stack, first, last)) == bits(expected[first:last])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 11, 13])
def test_network_sorts_every_sequence_of_zeros_and_ones(n):
    # the zero-one principle: a network that sorts these sorts all sequences
    every = np.array(list(itertools.product([0, 1], repeat=n)), np.float32).T
    for first, last in ranges(n):
        got = sorting.by_network(every, first, last)
        np.testing.assert_array_equal(got, np.sort(every, axis=0)[first:last])


@pytest.mark.parametrize("n, comparators", [(1, 0), (2, 1), (4, 5), (8, 19), (16, 63), (80, 783)])
def test_network_has_batchers_number_of_comparators(n, comparators):
    assert len(sorting.network(n, 0, n)) == comparators


def test_network_computes_only_what_the_order_statistics_need():
    def operations(first, last):
        return sum(low + high for *_, low, high in sorting.network(80, first, last))

    assert operations(0, 80) == 2 * 783
    assert operations(39, 41) < operations(16, 64) < operations(0, 80)
    assert operations(0, 1) == 79  # the smallest value takes n - 1 minima


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("d", [1, 2, 1023, sorting.SORT_WIDTH + 1, sorting.NETWORK_WIDTH + 3])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_inputs_are_only_read(way, n, d):
    for stack in stacks(n, d):
        kept = stack.copy()
        stack.setflags(write=False)
        WAYS[way](stack, 0, n)
        assert stack.tobytes() == kept.tobytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "bulyan"])
@pytest.mark.parametrize("d", [1, 3])
def test_rules_leave_the_updates_as_they_are(monkeypatch, way, rule, d):
    force(monkeypatch, way)
    updates = np.arange(9 * d, 0, -1, dtype=np.float32).reshape(9, d)
    kept = updates.copy()
    updates.setflags(write=False)
    RULES[rule](updates, Round(f=1))  # a column alone was once sorted in place
    np.testing.assert_array_equal(updates, kept)


def force(monkeypatch, way):
    monkeypatch.setattr(sorting, "prefers_sort", lambda n: way == "sort")


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "bulyan"])
@pytest.mark.parametrize("d", [1, 2, sorting.SORT_WIDTH + 1, 2 * sorting.NETWORK_WIDTH + 1])
@pytest.mark.parametrize("n, f", [(7, 1), (16, 3), (20, 2)])
def test_rules_give_the_same_bits_both_ways(monkeypatch, rule, n, f, d):
    rng = np.random.default_rng(d + n)
    wide = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-30, 30, (n, d))
    updates = wide.astype(np.float32)  # sums of such values depend on the order of the terms
    updates[rng.random((n, d)) < 0.3] = 0
    updates[rng.random((n, d)) < 0.3] *= -1  # some of the zeros, too
    results = []
    for way in WAYS:
        force(monkeypatch, way)
        results.append(RULES[rule](updates, Round(f=f)))
    assert results[0].tobytes() == results[1].tobytes()
    assert not np.signbit(results[0][results[0] == 0]).any()
    alone = RULES[rule](np.ascontiguousarray(updates[:, -1:]), Round(f=f))
    if rule != "bulyan":  # whose selection depends on all coordinates
        assert alone.tobytes() == results[0][-1:].tobytes()  # and not on the block


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("zeros", itertools.product([0.0, -0.0], repeat=4))
def test_signed_zeros_give_a_positive_zero(monkeypatch, way, zeros):
    force(monkeypatch, way)
    updates = np.array([*zeros, -1.0, 1.0], np.float32)[:, None]
    for result in (median(updates), trimmed_mean(updates, trim=1), trimmed_mean(updates, trim=0)):
        assert result.tobytes() == np.zeros(1, np.float32).tobytes()


@pytest.mark.parametrize("d", [1, 2, 500])
def test_sum_of_rows_adds_in_their_order(d):
    wide = np.random.default_rng(d).standard_normal((40, d)).astype(np.float32)
    rows = wide * np.logspace(-30, 30, 40, dtype=np.float32)[:, None]
    expected = [0.0] * d
    for row in rows.tolist():
        expected = [total + value for total, value in zip(expected, row)]
    assert on_arrays.sum_rows(list(rows)).tolist() == expected
    assert on_arrays.sum_rows(rows.astype(np.float64)).tolist() == expected


@pytest.mark.parametrize(
    "version, features, vectors",
    [
        ("1.25.2", {"found": ["AVX2", "AVX512_SKX"]}, False),
        ("1.26.4", {"found": ["AVX2"]}, False),
        ("2.0.2", {"baseline": ["SSE3"], "found": ["AVX", "AVX2"]}, True),
        ("2.0.2", {"baseline": ["SSE3"], "found": ["AVX"]}, False),
        ("2.4.0", {"baseline": ["X86_V2"], "found": ["X86_V3", "X86_V4"]}, True),
        ("2.4.0", {"baseline": ["X86_V3"]}, True),
        ("2.4.0", {"baseline": ["X86_V2"], "not found": ["X86_V3"]}, False),
        ("2.4.0", {"baseline": ["NEON", "ASIMD"]}, False),
        ("2.4.0", None, False),
    ],
)
def test_choice_depends_on_version_and_processor(monkeypatch, version, features, vectors):
    shown = {} if features is None else {"SIMD Extensions": features}
    monkeypatch.setattr(np, "__version__", version)
    monkeypatch.setattr(np, "show_config", lambda mode: shown)
    sorting.sorts_vectors.cache_clear()
    try:
        assert sorting.sorts_vectors() is vectors
        assert not sorting.prefers_sort(sorting.FEW_ROWS)
        assert sorting.prefers_sort(sorting.FEW_ROWS + 1) is vectors
    finally:
        sorting.sorts_vectors.cache_clear()
