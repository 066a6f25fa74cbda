"""ERR, LFR and the union, as Fang et al. define them, and as FLAP's code turns them round."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.aggregation import Aggregator
from tfunlearn.core.errors import UserError
from tfunlearn.defenses import DEFENSES, Rejection
from tfunlearn.defenses.rejection import keep


def kept(errors, losses, **options):
    return np.flatnonzero(keep(np.array(errors), np.array(losses), **options)).tolist()


def test_who_goes_by_hand():
    # error of the aggregate without each client: lowest without 2, then 0 and 3 (tie)
    errors, losses = [0.2, 0.5, 0.1, 0.2], [3.0, 1.0, 4.0, 2.0]
    assert kept(errors, losses, by="err", count=1) == [0, 1, 3]
    assert kept(errors, losses, by="err", count=2) == [0, 1]  # of 0 and 3, 3 has the lower loss
    assert kept(errors, losses, by="lfr", count=1) == [0, 2, 3]
    assert kept(errors, losses, by="lfr", count=2) == [0, 2]
    assert kept(errors, losses, by="union", count=1) == [0, 3]
    assert kept(errors, [1.0] * 4, by="lfr", count=1) == [1, 2, 3]  # ties go by index
    # without client 1 the model breaks: that speaks for client 1
    assert kept(errors, [1.0, np.nan, 2.0, 3.0], by="lfr", count=3) == [1]


def test_flaps_published_direction_by_hand():
    # the client without whom the others do worst goes: error 0.5, loss 4
    errors, losses = [0.2, 0.5, 0.1, 0.2], [3.0, 1.0, 4.0, 2.0]
    assert kept(errors, losses, by="err", count=1, compat="flap") == [0, 2, 3]
    assert kept(errors, losses, by="lfr", count=1, compat="flap") == [0, 1, 3]
    assert kept(errors, losses, by="union", count=1, compat="flap") == [0, 3]


def distance_judge(target):
    """Error and loss grow with the distance of the moved model from `target`."""

    def judge(model, step):
        distance = float(np.abs(model[0] + step - target).sum())
        return round(distance, 1), distance

    return judge


def test_the_clients_that_hurt_are_rejected(rng):
    updates = (1 + 0.01 * rng.standard_normal((10, 4))).astype(np.float32)
    updates[[3, 7]] = -5
    model = [np.zeros(4, np.float32)]
    for rule, f in (("mean", 2), ("median", 2), ("multi-krum", 2), ("trimmed-mean", 0)):
        for by in ("err", "lfr", "union"):
            reject = Rejection(by, Aggregator(rule, f), distance_judge(1.0), count=2)
            keeps = reject(model, updates, weights=np.ones(10))
            if rule in ("mean", "trimmed-mean"):  # else the rule itself leaves them out
                assert np.flatnonzero(~keeps).tolist() == [3, 7]
            assert 2 <= (~keeps).sum() <= (4 if by == "union" else 2)


def test_judged_is_the_aggregate_without_each_client():
    updates = np.array([[0.0], [3.0], [9.0]], np.float32)
    seen = []

    def judge(model, step):
        seen.append((model[0].item(), step.item()))
        return 0.0, float(len(seen))

    Rejection("lfr", Aggregator(byzantine=1), judge)(
        [np.array([7.0])], updates, weights=np.array([1.0, 1.0, 2.0])
    )
    assert seen == [(7, pytest.approx(7)), (7, pytest.approx(6)), (7, pytest.approx(1.5))]


def test_how_many_are_rejected():
    judge = distance_judge(0.0)
    assert Rejection("err", Aggregator("krum", 0.2), judge).rejected_of(20) == 4
    assert Rejection("err", Aggregator("krum", 0.2), judge, count=0.1).rejected_of(20) == 2
    assert Rejection("err", Aggregator("krum", 0.2), judge, count=3).rejected_of(20) == 3
    assert Rejection("err", Aggregator("krum", 0.2), judge, compat="flap").rejected_of(20) == 1
    # c is rounded where f is cut: 0.2 * 13 = 2.6
    assert Rejection("err", Aggregator("krum", 0.2), judge).rejected_of(13) == 3
    assert Aggregator("krum", 0.2).f(13) == 2


def test_clients_dropped_already_count_as_rejected(rng):
    updates = rng.standard_normal((8, 3)).astype(np.float32)
    reject = Rejection("err", Aggregator(byzantine=2), distance_judge(0.0))
    for dropped, gone in ((0, 2), (1, 1), (2, 0), (5, 0)):
        keeps = reject([np.zeros(3, np.float32)], updates, weights=np.ones(8), dropped=dropped)
        assert (~keeps).sum() == gone


@pytest.mark.parametrize(
    "by, rule, byzantine, count, clients, message",
    [
        ("err", "krum", 2, 1, 7, "err, with one client left out: krum .*got n=6, f=2"),
        ("union", "krum", 2, 2, 10, "union, with up to 4 rejected: krum .*got n=6, f=2"),
        ("err", "mean", 0, None, 10, "reject: .*got 0"),
        ("union", "mean", 5, None, 10, "reject: union .*all 10 clients.*got 10"),
    ],
)
def test_the_rule_must_hold_with_fewer_clients(by, rule, byzantine, count, clients, message):
    with pytest.raises(UserError, match=message):
        Rejection(by, Aggregator(rule, byzantine), None, count).check(clients)


def test_names():
    assert {"err", "lfr", "union", "flap"} == set(DEFENSES)
    with pytest.raises(UserError, match="did you mean 'err'"):
        Rejection("eer", Aggregator(), None)
    with pytest.raises(UserError, match="compat: .*got 'fang'"):
        Rejection("err", Aggregator(), None, compat="fang")
