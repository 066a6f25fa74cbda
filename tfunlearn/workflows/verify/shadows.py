"""U-LiRA and the NeurIPS 2023 challenge score, with shadow federations."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.seeds import at_most, generator
from tfunlearn.core.verification_record import ChallengeScore, RocRecord, ShadowRecord
from tfunlearn.verification import (
    MembershipRoc,
    challenge_score,
    forgetting_epsilons,
    forgetting_quality,
    membership_roc,
    permutation_p_value,
    u_lira_scores,
)
from tfunlearn.workflows.evaluate.retraining import retrain
from tfunlearn.workflows.unlearn.callbacks import RoundsAsReference, UnlearningCallbacks
from tfunlearn.workflows.verify.predictions import ModelPredictions, Sets
from tfunlearn.workflows.verify.record import roc_record
from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.target import VerificationTarget, shadow

DRAWS, MOST_MIXED = 10, 100


@dataclass(frozen=True)
class Shadowed:
    """Results obtained with shadow federations.

    Attributes:
        before: AUC of U-LiRA between trained models (before unlearning) and retrained models,
            raised to at least 0.5, since an attack worse than guessing shows nothing.
        after: AUC of U-LiRA between unlearned and retrained models, raised to at least 0.5.
        p_value: p-value of `after` under perfect unlearning, by a permutation test.
        record: all results.
    """

    before: float
    after: float
    p_value: float
    record: ShadowRecord


def attack_with_shadow_federations(
    subject: VerificationTarget, sets: Sets, settings: VerifySettings, watch: UnlearningCallbacks
) -> Shadowed:
    """Run U-LiRA and compute the challenge score; missing models are trained first.

    The chance levels of U-LiRA and of the score are estimated by randomly re-partitioning the
    pooled unlearned and retrained models.
    """
    count, silent = settings.shadows, RoundsAsReference(watch)
    made, retrained = [], []
    for number in watch.track(list(range(1, count + 1))):
        made.append(shadow(subject, number, watch.on_reference_round_end))
        retrained.append(sets.view(retrain(subject.task, number, silent).weights))
    trained, unlearned = (
        [sets.view(getattr(one, name)) for one in made] for name in ("trained", "unlearned")
    )
    odds = {
        name: np.stack([view.odds["forgotten"] for view in views])
        for name, views in (
            ("trained", trained),
            ("unlearned", unlearned),
            ("retrained", retrained),
        )
    }
    rocs = {
        name: membership_roc(
            *u_lira_scores(odds[name], odds["retrained"], variance=settings.variance)
        )
        for name in ("trained", "unlearned")
    }
    scores = u_lira_scores(odds["unlearned"], odds["retrained"], variance=settings.variance)
    epsilons = forgetting_epsilons(odds["unlearned"], odds["retrained"])
    quality = forgetting_quality(epsilons, count)
    kept = [(_mean(unlearned, name), _mean(retrained, name)) for name in ("remaining", "test")]
    rng = generator(settings.verify_seed, "chance")
    p_value = permutation_p_value(
        odds["unlearned"], odds["retrained"], rng, variance=settings.variance
    )
    record = ShadowRecord(
        count=count,
        before=_of_models(rocs["trained"], count),
        after=_of_models(rocs["unlearned"], count),
        accuracy=float(np.mean([np.mean(scores[0] > 0), np.mean(scores[1] <= 0)])),
        p_value=p_value,
        challenge=ChallengeScore(
            quality=quality,
            chance=_chance_quality(odds, rng),
            score=None
            if 0 in (kept[0][1], kept[1][1])
            else challenge_score(quality, remaining=kept[0], test=kept[1]),
            remaining=list(kept[0]),
            test=list(kept[1]),
            epsilon_median=float(np.median(epsilons)),
            epsilon_limit=math.ceil(math.log(count - 1)),
            epsilons=[round(float(e), 4) for e in epsilons],
        ),
    )
    return Shadowed(max(0.5, rocs["trained"].auc), max(0.5, rocs["unlearned"].auc), p_value, record)


def _of_models(roc: MembershipRoc, count: int) -> RocRecord:
    """Return the record of a ROC, with the resolution set by the number of models, not of
    examples."""
    record = roc_record(roc)
    return dataclasses.replace(
        record,
        resolved={level: count * float(level) >= 1 for level in record.resolved},
        resolution=1 / count,
    )


def _chance_quality(odds: dict[str, np.ndarray], rng: np.random.Generator) -> float:
    """Return the chance level of F: both kinds of models pooled and randomly re-partitioned."""
    both, count = np.concatenate([odds["unlearned"], odds["retrained"]]), len(odds["retrained"])
    columns = at_most(np.arange(both.shape[1]), MOST_MIXED, rng)
    found = []
    for _ in range(DRAWS):
        pooled = both[rng.permutation(len(both))][:, columns]
        found.append(forgetting_quality(forgetting_epsilons(pooled[:count], pooled[count:]), count))
    return float(np.mean(found))


def _mean(views: list[ModelPredictions], name: str) -> float:
    return float(np.mean([view.accuracy(name) for view in views]))
