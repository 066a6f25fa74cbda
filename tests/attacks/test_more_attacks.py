"""Mimic, optimal ALIE and IPM, and the distributed backdoor, by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.attacks import AdversaryView
from tfunlearn.attacks.backdoor import Trigger
from tfunlearn.attacks.dba import dba, stamp_part
from tfunlearn.attacks.mimic import mimic
from tfunlearn.attacks.optimal import GRID, best_factor, optimal_alie, optimal_ipm
from tfunlearn.conformance.check import check_named
from tfunlearn.experiment import run_config
from tfunlearn.training.federation import Federation


def view(own, benign, **options):
    model = np.zeros(own.shape[1], np.float32)
    return AdversaryView(
        own, model, len(own) + len(benign), np.random.default_rng(0), benign, **options
    )


def test_mimic_repeats_the_client_farthest_along_the_direction_of_most_spread():
    benign = np.random.default_rng(0).standard_normal((7, 30)).astype(np.float32)
    benign[:, 0] *= 6
    centered = benign.astype(float) - benign.mean(axis=0, dtype=float)
    top = np.linalg.svd(centered, full_matrices=False)[2][0]
    wanted = int(np.abs(benign @ top).argmax())
    sent = mimic(view(np.zeros((2, 30), np.float32), benign))
    assert sent.shape == (2, 30) and (sent == benign[wanted]).all()


def test_the_best_factor_is_near_that_of_a_fine_search():
    for peak in (0.3, 1.0, 5.5, 14.0):
        found = best_factor(lambda x, peak=peak: -abs(x - peak))
        assert found == pytest.approx(peak, rel=0.15)
    assert best_factor(lambda x: 0.0) <= min(GRID)


def test_optimal_attacks_move_the_rule_at_least_as_far_as_fixed_ones():
    rng = np.random.default_rng(1)
    benign = rng.standard_normal((8, 20)).astype(np.float32) + 1

    def median(rows):
        return np.median(rows, axis=0)

    mean, deviation = benign.mean(axis=0), benign.std(axis=0)
    seen = view(np.zeros((3, 20), np.float32), benign, aggregate=median)

    def damage(row):
        whole = np.concatenate([benign, np.repeat(row[None], 3, axis=0)])
        return np.linalg.norm(median(whole) - mean)

    alie = damage(optimal_alie(seen)[0])
    assert alie >= max(damage(mean - z * deviation) for z in (0.5, 1.0, 1.5, 4.0)) - 1e-5
    ipm = damage(optimal_ipm(seen)[0])
    assert ipm >= max(damage(-scale * mean) for scale in (0.5, 1.0, 4.0)) - 1e-5


@pytest.mark.parametrize("name", ["mimic", "optimal-alie", "optimal-ipm", "dba"])
def test_contract(name):
    _, findings = check_named(name)
    assert findings and all(one.passed is not False for one in findings), findings


def test_quarters_of_the_trigger_make_the_whole():
    images = np.random.default_rng(2).integers(1, 200, (3, 9, 8, 2)).astype(np.uint8)
    trigger = Trigger(3, "center")  # 3 = 2 + 1 rows and columns
    changed = [stamp_part(images, trigger, part) != images for part in range(4)]
    assert [int(one[0, ..., 0].sum()) for one in changed] == [4, 2, 2, 1]
    assert not (changed[0] & changed[1]).any()
    whole = trigger.stamp(images) != images
    np.testing.assert_array_equal(np.logical_or.reduce(changed), whole)
    np.testing.assert_array_equal(stamp_part(images, trigger, 5), stamp_part(images, trigger, 1))
    rng = np.random.default_rng(0)
    made, labels = dba(images, np.array([0, 0, 0]), target=2, part=3, share=1.0, rng=rng)
    assert labels.tolist() == [2, 2, 2] and (made != images)[0, ..., 0].sum() == 1  # of 3x3


def test_each_attacker_of_a_run_has_its_own_quarter():
    config = run_config(attack="dba", malicious=5, trigger_share=1.0, train_examples=400)
    federation = Federation.of(config)
    places = []
    for client in federation.malicious:
        rows = federation.clients.rows(client)
        before, after = federation.clients.features[rows], federation.poisoned.features[rows]
        places.append(tuple(map(tuple, np.argwhere((before != after).any(axis=(0, 3))))))
    assert len(set(places[:4])) == 4 and set(places[4]) & set(places[0])
    assert all(len(place) <= 4 for place in places)
