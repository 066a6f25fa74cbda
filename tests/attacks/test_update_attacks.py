"""Attacks on updates: numbers by hand, what they guarantee, and what they may see."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from tfunlearn.aggregation.krum import krum_choice
from tfunlearn.attacks import (
    ATTACKS,
    Adversary,
    AdversaryView,
    UpdateAttack,
    alie,
    fang_krum,
    fang_trim,
    gaussian,
    ipm,
    min_max,
    min_sum,
    replacement_factor,
    sign_flip,
)
from tfunlearn.attacks.alie import little_enough
from tfunlearn.core.errors import UserError


def column(*values):
    return np.array(values, np.float32)[:, None]


def select(distances, f, dropped=0):
    return krum_choice(distances, f=2 if f is None else f, m=1)


def view(own, benign=None, *, model=None, seed=0, **options):
    n = len(own) + (5 if benign is None else len(benign))
    model = np.zeros(own.shape[1], np.float32) if model is None else np.asarray(model, np.float32)
    return AdversaryView(
        own, model, n, np.random.default_rng(seed), benign, select=select, **options
    )


def test_sign_flip_ipm_and_gaussian_by_hand():
    own, benign = column(1, 3), column(4, 6, 8)
    assert sign_flip(view(own, benign)).tolist() == [[-1], [-3]]
    assert sign_flip(view(own), scale=4.0).tolist() == [[-4], [-12]]
    assert ipm(view(own, benign)).tolist() == [[-3], [-3]]  # half of the mean 6, backwards
    assert ipm(view(own), scale=0.1).ravel().tolist() == pytest.approx([-0.2, -0.2])
    wide = np.zeros((3, 20_000), np.float32)
    noise = gaussian(view(wide), scale=2.0)
    assert abs(noise.std() - 2) < 0.03 and abs(noise.mean()) < 0.03 and noise.dtype == np.float32
    assert gaussian(view(wide, seed=1)).tobytes() != gaussian(view(wide)).tobytes()


def test_alie_by_hand():
    # n = 50, c = 24: s = 50 // 2 + 1 - 24 = 2, quantile at (50 - 24 - 2) / 26 = 0.923
    assert little_enough(50, 24) == pytest.approx(1.4261, abs=1e-4)
    assert little_enough(50, 24) == pytest.approx(statistics.NormalDist().inv_cdf(24 / 26))
    crafted = alie(view(column(0, 0), column(1, 3)), scale=2.0)
    assert crafted.tolist() == [[0], [0]]  # mean 2, deviation 1
    assert alie(view(column(1, 3)), scale=1.5).tolist() == [[0.5], [0.5]]
    for clients, malicious in ((10, 6), (3, 2), (2, 1)):
        with pytest.raises(UserError, match=f"z > 0.*got {malicious} of {clients}"):
            little_enough(clients, malicious)


def test_min_max_and_min_sum_by_hand():
    # honest 0 and 2: mean 1, deviation 1, largest distance 2; x = 1 - g: |2 - x| = 1 + g <= 2
    assert min_max(view(column(9), column(0, 2))).tolist() == [[0]]
    # sum of squares: largest honest 4; (1 - g)^2 + (1 + g)^2 = 2 + 2 g^2 <= 4
    assert min_sum(view(column(9), column(0, 2))).tolist() == [[0]]
    assert min_max(view(column(3, 3, 3))).tolist() == [[3]] * 3  # no spread, no room


def test_min_max_and_min_sum_reach_their_bound(rng):
    benign = rng.standard_normal((7, 30)).astype(np.float32)
    pairs = np.square(benign[:, None] - benign[None]).sum(axis=2)
    crafted = min_max(view(benign[:2], benign))[0]
    assert np.square(benign - crafted).sum(axis=1).max() == pytest.approx(pairs.max(), rel=1e-5)
    crafted = min_sum(view(benign[:2], benign))[0]
    assert np.square(benign - crafted).sum() == pytest.approx(pairs.sum(axis=1).max(), rel=1e-5)
    mean, deviation = benign.mean(axis=0), benign.std(axis=0)
    along = (mean - crafted) / deviation
    np.testing.assert_allclose(along, along[0], rtol=1e-4)
    assert along[0] > 0


def test_fang_trim_with_full_knowledge_by_hand():
    # honest models per coordinate: [1, 3], [-4, -2], [1, 3], [-4, -2], [0, 0]
    low, high = np.array([1, -4, 1, -4, 0]), np.array([3, -2, 3, -2, 0])
    benign = np.stack([low, high]).astype(np.float32)
    rising = np.array([True, True, False, False, False])
    aggregate = lambda rows: np.where(rising, 1.0, -1.0)  # noqa: E731
    own = np.zeros((2000, 5), np.float32)
    crafted = fang_trim(view(own, benign, aggregate=aggregate))
    # rising: [min / 2, min] or [2 min, min]; falling: [max, 2 max] or [max, max / 2]
    expected = [(0.5, 1), (-8, -4), (3, 6), (-2, -1), (0, 0)]
    for values, (least, most) in zip(crafted.T, expected):
        assert least <= values.min() <= least + 0.01 * (most - least) + 1e-6
        assert most >= values.max() >= most - 0.01 * (most - least) - 1e-6
        assert values.mean() == pytest.approx((least + most) / 2, abs=0.1)
    scaled = fang_trim(view(own, benign, aggregate=aggregate), scale=10.0)
    assert scaled[:, 2].max() > 29 and scaled[:, 0].min() < 0.2


def test_fang_trim_takes_its_intervals_from_models_unless_told():
    benign = column(-1, 1)
    aggregate = lambda rows: np.array([-1.0])  # noqa: E731
    own, model = np.zeros((500, 1), np.float32), [10]
    crafted = fang_trim(view(own, benign, model=model, aggregate=aggregate))
    assert 1 <= crafted.min() and 11 < crafted.max() <= 12  # models in [11, 22]
    crafted = fang_trim(view(own, benign, model=model, aggregate=aggregate), space="delta")
    assert 1 <= crafted.min() and 1.9 < crafted.max() <= 2


def test_fang_trim_with_partial_knowledge_by_hand():
    # own updates 1, 3: mean 2, deviation 1, rising: models in [10 + 2 - 4, 10 + 2 - 3]
    own = np.concatenate([column(1, 3)] * 300)
    crafted = fang_trim(view(own, model=[10]))
    assert -2 <= crafted.min() < -1.97 and -1.03 < crafted.max() <= -1
    crafted = fang_trim(view(-own, model=[10]))
    assert 1 <= crafted.min() < 1.03 and 1.97 < crafted.max() <= 2
    with pytest.raises(UserError, match="attack_scale: .*got 1"):
        fang_trim(view(own), scale=1)
    with pytest.raises(UserError, match="attack_space"):
        fang_trim(view(own), space="weights")


def krum_of(stack, f=2):
    distances = np.square(stack[:, None].astype(float) - stack[None]).sum(axis=2)
    return int(np.flatnonzero(krum_choice(distances, f=f, m=1))[0])


def test_fang_krum_with_full_knowledge_is_picked(rng):
    benign = (0.1 + 0.5 * rng.standard_normal((9, 40))).astype(np.float32)
    own = (0.1 + 0.5 * rng.standard_normal((2, 40))).astype(np.float32)
    crafted = fang_krum(view(own, benign))
    assert krum_of(np.concatenate([benign, crafted])) >= 9
    step = np.abs(crafted[0, 0])
    rising = np.concatenate([benign, own]).mean(axis=0) > 0
    np.testing.assert_array_equal(crafted[0], np.where(rising, -step, step))
    assert 0 < np.linalg.norm(crafted[1] - crafted[0]) <= 0.0101
    # lambda is the first of the halvings from the bound of the paper that is picked
    m, c, d = 11, 2, 40
    distances = np.sqrt(np.square(benign[:, None] - benign[None]).sum(axis=2))
    nearest = np.sort(distances, axis=1)[:, 1 : m - c - 2 + 1].sum(axis=1).min()
    bound = nearest / ((m - 2 * c - 1) * d**0.5) + np.linalg.norm(benign, axis=1).max() / d**0.5
    halvings = np.log2(bound / step)
    assert halvings == pytest.approx(round(halvings), abs=1e-4) and round(halvings) >= 0
    if round(halvings) > 0:
        twice = np.repeat(2 * crafted[:1], 2, axis=0)
        assert krum_of(np.concatenate([benign, twice])) < 9


def test_fang_krum_with_partial_knowledge_adds_copies():
    own = np.eye(3, 8, dtype=np.float32) + 1  # rising everywhere
    crafted = fang_krum(view(own))
    # one copy at distance > sqrt 2 of everybody is not picked; two copies support each other
    assert crafted[0].tolist() in ([-1] * 8, [-0.5] * 8, [-0.25] * 8, [-0.125] * 8) or (
        (crafted[0] < 0).all()
    )
    alone = fang_krum(view(own[:1]))
    assert alone.tolist() == own[:1].tolist()  # nobody to be like: no attack, its own update


def test_fang_krum_needs_a_minority():
    with pytest.raises(UserError, match="n > 2c.*got n=5 clients, c=2"):
        fang_krum(view(column(0, 0), column(0, 1, 2)))


def test_the_direction_is_the_servers_rule_with_full_knowledge_only():
    own, benign = column(5), column(-1, -1, 1)
    asked = []

    def aggregate(rows):
        asked.append(rows.ravel().tolist())
        return np.median(rows, axis=0)

    assert view(own, benign, aggregate=aggregate).rising().tolist() == [False]
    assert asked == [[-1, -1, 1, 5]]
    assert view(own, aggregate=aggregate).rising().tolist() == [True] and len(asked) == 1


def test_boost_replaces_the_model():
    assert replacement_factor(20, 4) == 5
    with pytest.raises(UserError, match="malicious: .*got 0"):
        replacement_factor(20, 0)


ON_UPDATES = [
    name
    for name, attack in ATTACKS.items()
    if isinstance(attack, UpdateAttack) and attack.against is None
]
NEED_ALL = [name for name in ON_UPDATES if ATTACKS[name].needs_all]


def crafted_by(name, knowledge="partial"):
    attack = ATTACKS[name]
    own = attack.settings(knowledge=knowledge)
    return lambda view: attack.craft(view, own)


def adversary(name, knowledge, seed=3, columns=None):
    return Adversary(
        crafted_by(name, knowledge),
        np.array([1, 4, 6]),
        lambda number: number >= 2,
        seed,
        knowledge,
        aggregate=lambda rows, *rest: rows.mean(axis=0),
        select=select,
        columns=columns,
    )


@pytest.mark.parametrize("name", [name for name in ON_UPDATES if name not in NEED_ALL])
def test_partial_knowledge_never_reads_benign_rows(name, rng):
    stack = rng.standard_normal((9, 12)).astype(np.float32)
    ids, model = np.arange(9), rng.standard_normal(12).astype(np.float32)
    malicious = np.isin(ids, [1, 4, 6])
    crafted, _ = adversary(name, "partial")(stack, ids, model, 2)
    other = stack.copy()
    other[~malicious] = np.nan
    hidden, _ = adversary(name, "partial")(other, ids, model, 2)
    assert np.isfinite(hidden[malicious]).all()
    assert hidden[malicious].tobytes() == crafted[malicious].tobytes()

    seen = []
    spy = Adversary(lambda v: seen.append(v) or v.own, np.array([1, 4, 6]), lambda number: True, 0)
    spy(stack, ids, model, 1)
    assert seen[0].benign is None and len(seen[0].own) == 3
    for array in (seen[0].own, seen[0].model):
        assert not np.shares_memory(array, stack)


@pytest.mark.parametrize("name", ON_UPDATES)
@pytest.mark.parametrize("knowledge", ["partial", "full"])
def test_contract_of_every_attack(name, knowledge, rng):
    if name in NEED_ALL and knowledge == "partial":
        with pytest.raises(UserError, match=f"knowledge: {name} needs full, .*; got partial"):
            adversary(name, knowledge)(
                rng.standard_normal((9, 12)), np.arange(9), np.ones(12, np.float32), 2
            )
        return
    stack = rng.standard_normal((9, 12)).astype(np.float32)
    ids, model = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10]), np.ones(12, np.float32)
    before, model_before = stack.copy(), model.copy()
    attack = adversary(name, knowledge)
    received, crafted = attack(stack, ids, model, 2)
    assert crafted.tolist() == [1, 4, 6] and received.dtype == np.float32
    assert stack.tobytes() == before.tobytes() and model.tobytes() == model_before.tobytes()
    honest = ~np.isin(ids, crafted)
    assert received[honest].tobytes() == stack[honest].tobytes()
    assert received[~honest].tobytes() != stack[~honest].tobytes()
    assert np.isfinite(received).all()
    again, _ = attack(stack, ids, model, 2)
    assert again.tobytes() == received.tobytes()  # the seed and the round decide
    untouched, nobody = attack(stack, ids, model, 1)  # not due
    assert untouched is stack and not len(nobody)
    away = np.isin(ids, [1, 4, 6])
    assert attack(stack[~away], ids[~away], model, 2)[1].tolist() == []


def test_statistics_of_normalisation_are_left_as_trained(rng):
    stack = rng.standard_normal((9, 12)).astype(np.float32)
    columns = np.arange(12) % 3 > 0
    received, _ = adversary("sign-flip", "full", columns=columns)(
        stack, np.arange(9), np.zeros(12, np.float32), 2
    )
    rows = [1, 4, 6]
    np.testing.assert_array_equal(received[rows][:, ~columns], stack[rows][:, ~columns])
    np.testing.assert_array_equal(received[rows][:, columns], -stack[rows][:, columns])


@pytest.mark.parametrize(
    "attack, knowledge, clients, malicious, reason",
    [
        (
            "alie",
            "partial",
            10,
            1,
            "alie with knowledge partial .*knowledge full; got 1$",
        ),
        ("min-max", "partial", 10, 1, "at least 2 malicious clients"),
        ("fang-trim", "partial", 10, 1, "at least 2 malicious"),
        ("min-sum", "full", 4, 3, "at least 2 benign updates; got 1$"),
        ("ipm", "full", 4, 4, "leave ipm no honest update"),
        ("fang-krum", "full", 10, 5, "n > 2c . 1, here n > 11"),
        ("alie", "partial", 10, 7, "z > 0.*got 7 of 10"),
        ("alie", "partial", 10, 2, "z > 0.*got 2 of 10 clients, z=0.00"),
        ("fang-krum", "partial", 10, 1, "needs 2 malicious clients in a round"),
        ("fang-krum", "partial", 10, 5, None),
        ("fang-trim", "full", 10, 1, None),
        ("alie", "partial", 10, 4, None),
        ("sign-flip", "partial", 1, 1, None),
    ],
)
def test_what_stands_in_the_way(attack, knowledge, clients, malicious, reason):
    import re

    method = ATTACKS[attack]
    found = method.infeasible_reason(clients, malicious, method.settings(knowledge=knowledge))
    assert found is None if reason is None else re.search(reason, found)


def test_what_the_server_knows_reaches_its_simulation(rng):
    """The attackers' idea of the rule has weights, the round, drops, and untouched coordinates."""
    stack = rng.standard_normal((6, 5)).astype(np.float32)
    columns, seen = np.array([True, True, False, True, False]), []

    def aggregate(whole, ids, dropped, reference, number, model):
        seen.append((whole.copy(), ids.tolist(), dropped, reference, number, model))
        return whole.mean(axis=0)

    def craft(view):
        seen.append(view)
        view.rising()
        assert view.select("distances", 3) == ("distances", 3, 2)
        return view.own

    attack = Adversary(
        craft,
        np.array([0, 7]),
        lambda number: True,
        0,
        "full",
        aggregate,
        lambda *arguments: arguments,
        columns,
    )
    ids = np.array([0, 2, 3, 5, 7, 9])
    _, crafted = attack(stack, ids, np.zeros(5, np.float32), 4, dropped=2, reference="before")
    view, (whole, order, dropped, reference, number, model) = seen
    assert crafted.tolist() == []  # their own updates as they were
    assert order == [2, 3, 5, 9, 0, 7] and (dropped, reference, number) == (2, "before", 4)
    np.testing.assert_array_equal(whole, stack[[1, 2, 3, 5, 0, 4]])
    assert model.shape == (5,)  # the whole model, not the attacked coordinates
    np.testing.assert_array_equal(view.kept_apart, stack[[1, 2, 3, 5, 0, 4]][:, ~columns])
    assert view.clients == 8 and view.benign.shape == (4, 3)


@pytest.mark.parametrize("knowledge", ["partial", "full"])
def test_fang_krum_counts_the_coordinates_that_it_leaves(knowledge):
    """With wide statistics beside narrow weights the simulated Krum still is the server's."""
    picked = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        stack = np.concatenate(
            [0.1 * rng.standard_normal((11, 60)), rng.standard_normal((11, 12))], axis=1
        ).astype(np.float32)
        columns = np.arange(72) < 60
        attack = Adversary(
            crafted_by("fang-krum", knowledge),
            np.array([3, 8]),
            lambda number: True,
            seed,
            knowledge,
            lambda whole, *rest: whole.mean(axis=0),
            select,
            columns,
        )
        received, crafted = attack(stack, np.arange(11), np.zeros(72, np.float32), 1)
        if len(crafted) and knowledge == "full":
            picked += krum_of(received) in (3, 8)
            assert krum_of(received) in (3, 8)
        distances = np.square(received[:, None] - received[None]).sum(axis=2)
        assert np.isfinite(distances).all()
    assert picked > 0 or knowledge == "partial"


def test_a_round_that_cannot_be_attacked_is_left_alone(rng):
    stack = rng.standard_normal((5, 4)).astype(np.float32)
    attack = Adversary(
        alie,
        np.array([1]),
        lambda number: True,
        0,
        infeasible_reason=lambda clients, malicious: ATTACKS["alie"].infeasible_reason(
            clients, malicious, ATTACKS["alie"].settings()
        ),
    )
    received, crafted = attack(stack, np.arange(5), np.zeros(4, np.float32), 1)
    assert received is stack and crafted.tolist() == []
    with pytest.raises(UserError, match="knowledge: unknown name 'some'"):
        Adversary(alie, np.array([1]), lambda number: True, 0, "some")


def test_every_scale_is_a_setting_and_no_other_attack_has_one(rng):
    scaled = {name for name in ON_UPDATES if "attack_scale" in ATTACKS.fields(name)}
    assert scaled == {"sign-flip", "gaussian", "alie", "ipm", "fang-trim"}
    own, model = rng.standard_normal((3, 6)).astype(np.float32), np.zeros(6, np.float32)
    benign = rng.standard_normal((6, 6)).astype(np.float32)
    for name in scaled:
        attack, found = ATTACKS[name], []
        for scale in (2.0, 3.0):
            view = AdversaryView(own, model, 9, np.random.default_rng(0), benign=benign)
            found.append(attack.craft(view, attack.settings("full", scale)))
        assert not np.array_equal(*found)
