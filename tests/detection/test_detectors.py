"""Detectors against definitions written out with dense matrices, and worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation.foolsgold import foolsgold_weights
from tfunlearn.conformance.check import check_named
from tfunlearn.core.errors import UserError
from tfunlearn.detection import DETECTORS, Server, detect, grade, observed
from tfunlearn.detection.detector import all_alike
from tfunlearn.detection.fldetector import lbfgs_coefficients


def dense_b(s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the compact L-BFGS matrix of pairs `(d, N)`, written out."""
    sigma = y[:, -1] @ s[:, -1] / (s[:, -1] @ s[:, -1])
    sy = s.T @ y
    lower, diagonal = np.tril(sy, -1), np.diag(np.diag(sy))
    wide = np.concatenate([sigma * s, y], axis=1)
    matrix = np.block([[sigma * s.T @ s, lower], [lower.T, -diagonal]])
    return sigma * np.eye(len(s)) - wide @ np.linalg.pinv(matrix, rcond=1e-3) @ wide.T


def product(steps: np.ndarray, rounds: int) -> np.ndarray:
    """Return B v from N + 1 differences `(N + 1, d)`."""
    return lbfgs_coefficients(steps @ steps.T, rounds) @ steps


def test_products_are_those_of_the_dense_matrix():
    steps = np.random.default_rng(0).standard_normal((4, 9))
    s, y = steps[:-1].T, (steps[1:] - steps[:-1]).T
    for rounds in (1, 2, 4):
        wanted = dense_b(s, y) @ steps[-rounds:].sum(axis=0)
        np.testing.assert_allclose(product(steps, rounds), wanted, rtol=1e-9)


def test_the_newest_pair_is_fulfilled_and_scale_goes_through():
    """B s = y for the last pair; v is s of the pair itself if the model moved alike twice."""
    steps = np.random.default_rng(1).standard_normal((4, 9))
    s, y = steps[:-1].T, (steps[1:] - steps[:-1]).T
    np.testing.assert_allclose(dense_b(s, y) @ s[:, -1], y[:, -1], atol=1e-9)
    repeated = np.concatenate([steps[:-1], steps[-2:-1]])  # s_new = s_last, so that y_last = 0
    assert np.abs(product(repeated, 1)).max() < 1e-9
    np.testing.assert_allclose(product(steps * 3, 1), 3 * product(steps, 1), rtol=1e-9)
    assert not product(np.zeros((4, 9)), 1).any()


def descent(clients: int = 10, rounds: int = 25, size: int = 40):
    """Return stacks and models of gradient descent on a quadratic, one optimum per client."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((size, size))
    hessian = root @ root.T / size + 0.2 * np.eye(size)
    optima, model = 0.3 * rng.standard_normal((clients, size)), np.zeros(size)
    stacks, models = [], []
    for _ in range(rounds):
        stack = -0.2 * (model - optima) @ hessian
        stacks.append(stack), models.append(model)
        model = model + stack.mean(axis=0)
    return np.array(stacks, np.float32), np.array(models, np.float32)


def test_updates_of_gradient_descent_are_predicted():
    stacks, models = (part.astype(float) for part in descent())
    steps = np.diff(models, axis=0)
    predicted = stacks[10] + product(steps[:11], 1)
    error, plain = (
        np.linalg.norm(guess - stacks[11], axis=1).mean() for guess in (predicted, stacks[10])
    )
    assert error < 0.25 * plain  # a wrong sign would give 2


def scores_by_definition(stacks, models, ids, window):
    """Return FLDetector's scores, round by round with dense matrices."""
    steps = np.diff(np.asarray(models, float), axis=0)
    last, shares = {}, []
    for t, (stack, own) in enumerate(zip(stacks.astype(float), ids)):
        if t >= window + 1:
            used = steps[t - window - 1 : t]
            b = dense_b(used[:-1].T, (used[1:] - used[:-1]).T)
            errors = {}
            for k, update in zip(own, stack):
                if k in last and t - last[k][0] <= window + 1:
                    moved = models[t].astype(float) - models[last[k][0]]
                    errors[k] = np.linalg.norm(last[k][1] + b @ moved - update)
            if len(errors) >= 3:
                mean = sum(errors.values()) / len(errors)
                shares.append({k: e / mean for k, e in errors.items()})
        last.update({k: (t, update) for k, update in zip(own, stack)})
    shares = shares[-window:]
    return {
        k: np.mean([share[k] for share in shares if k in share])
        for k in sorted({k for share in shares for k in share})
    }


@pytest.mark.parametrize("partial", [False, True])
def test_fldetector_scores_are_those_of_the_definition(partial):
    rng = np.random.default_rng(2)
    stacks = rng.standard_normal((13, 6, 8)).astype(np.float32)
    models = np.cumsum(stacks.mean(axis=1), axis=0)
    ids = [np.sort(rng.permutation(9)[:6]) if partial else np.arange(6) for _ in range(13)]
    found = detect("fldetector", observed(stacks, models, ids), window=4)
    wanted = scores_by_definition(stacks, models, ids, 4)
    scores = {k: score for k, score in zip(found.ids, found.scores) if score is not None}
    assert scores.keys() == wanted.keys()
    for k, score in scores.items():
        assert score == pytest.approx(wanted[k], rel=1e-5)


def test_the_smaller_cluster_is_flagged_unless_as_printed():
    stacks, models = descent()
    loud = stacks.copy()
    noise = np.random.default_rng(3).standard_normal(loud[:, :3].shape)
    loud[:, :3] += 0.3 * np.abs(loud).mean() * noise
    found = detect("fldetector", observed(loud, models))
    assert found.flagged == (0, 1, 2) and found.evidence["sizes"] == [7, 3]
    assert grade(found, [0, 1, 2]).auc == 1.0
    # crafted updates that are more consistent than the honest ones, as under ALIE
    crafted = stacks.copy()
    noise = np.random.default_rng(4).standard_normal(crafted[:, 3:].shape)
    crafted[:, 3:] += 0.3 * np.abs(crafted).mean() * noise
    found = detect("fldetector", observed(crafted, models))
    assert found.flagged == (0, 1, 2) and found.evidence["side"] == "smaller scores"
    assert grade(found, [0, 1, 2]).auc == 0.0
    printed = detect("fldetector", observed(crafted, models), compat="paper")
    assert printed.flagged == (3, 4, 5, 6, 7, 8, 9)


def test_foolsgold_weights_by_hand():
    """v = (1, 1, .5, .2). Pardoned: c is .5 / 1 of .5 to the sybils, d is .2 / .5 of .2 to c.

    a = (0, 0, .75, .92), divided by .92: (0, 0, .815217, 1 -> .99).
    """
    cosines = np.array([[1, 1, 0.5, 0], [1, 1, 0.5, 0], [0.5, 0.5, 1, 0.2], [0, 0, 0.2, 1]])
    assert foolsgold_weights(cosines).tolist() == [0, 0, 1, 1]
    quarter = foolsgold_weights(cosines, kappa=0.25)
    assert quarter[2] == pytest.approx(0.25 * (np.log(0.75 / 0.17) + 0.5))
    assert foolsgold_weights(np.ones((3, 3))).tolist() == [0, 0, 0]


def test_foolsgold_flags_sybils():
    rng = np.random.default_rng(5)
    stacks = rng.standard_normal((4, 6, 50)).astype(np.float32)
    stacks[:, 1] = stacks[:, 4] = rng.standard_normal((4, 50))
    found = detect("foolsgold", observed(stacks, np.zeros((4, 50))))
    assert found.flagged == (1, 4) and found.scores[1] == 1.0


def test_shares_count_the_rounds_in_which_a_rule_leaves_a_client_out():
    rng = np.random.default_rng(6)
    stacks = rng.standard_normal((20, 10, 30)).astype(np.float32)
    stacks[::2, 2] += 9  # left out in every other round at least
    stacks[:, 7] += 9
    server = Server(f=lambda n: 2)
    found = detect("multi-krum", observed(stacks, np.zeros((20, 30))), server=server)
    assert found.scores[7] == 1.0 and 0.5 <= found.scores[2] < 1
    assert 7 in found.flagged
    # Krum keeps one update: nearly all are left out nearly always, which flags nobody
    krum = detect("krum", observed(stacks, np.zeros((20, 30))), server=server)
    assert krum.flagged == () and min(krum.scores) > 0.5
    with pytest.raises(UserError, match=r"bulyan needs n >= 4f \+ 3; got n=10, f=2"):
        detect("bulyan", observed(stacks, np.zeros((20, 30))), server=server)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_contract(name):
    family, findings = check_named(name, family="detector")
    assert family == "detector" and findings
    assert all(one.passed is not False for one in findings), findings


def test_bad_input():
    stacks = np.random.default_rng(7).standard_normal((9, 4, 5)).astype(np.float32)
    models = np.zeros((9, 5))
    with pytest.raises(UserError, match="needs 21 rounds that follow each other; got 9; train at"):
        detect("fldetector", observed(stacks, models))
    with pytest.raises(UserError, match="detector: unknown name 'fldetect'; did you mean 'fldetec"):
        detect("fldetect", observed(stacks, models))
    with pytest.raises(UserError, match="window: must be a whole number >= 2; got 1"):
        detect("fldetector", observed(stacks, models), window=1)
    with pytest.raises(UserError, match="foolsgold needs 3 clients; got 2"):
        detect("foolsgold", observed(stacks[:, :2], models))
    with pytest.raises(UserError, match="models: .*one per round"):
        observed(stacks, models[:3])
    with pytest.raises(UserError, match="follow each other; got 3 after 1"):
        rounds = observed(stacks, models)
        detect("fldetector", [rounds[0], *rounds[2:]], window=2)
    with pytest.raises(UserError, match="err needs examples of the server .train --validation"):
        detect("err", observed(stacks, models))


def test_clients_that_hardly_come_back_are_told():
    rng = np.random.default_rng(8)
    stacks = rng.standard_normal((30, 2, 6)).astype(np.float32)
    ids = [np.sort(rng.choice(1000, 2, replace=False)) for _ in range(30)]
    with pytest.raises(UserError, match="3 clients that come back within 11 rounds.*; got 0"):
        detect("fldetector", observed(stacks, np.zeros((30, 6)), ids))


def test_a_broken_update_uses_up_one_of_the_f():
    stacks = np.random.default_rng(9).standard_normal((6, 9, 20)).astype(np.float32)
    stacks[:, [0, 5]] = np.nan
    seen = []
    server = Server(f=lambda n: seen.append(n) or 2)
    found = detect("multi-krum", observed(stacks, np.zeros((6, 20))), server=server)
    assert set(seen) == {9} and set(found.flagged) >= {0, 5}


def test_all_alike():
    row = np.arange(5, dtype=np.float32)
    assert all_alike(np.stack([row, row * (1 + 1e-7)])) and all_alike(np.zeros((3, 5)))
    assert not all_alike(np.stack([row, row * 1.001]))
