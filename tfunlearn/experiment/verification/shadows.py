"""U-LiRA and the NeurIPS 2023 score, over shadow federations."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from tfunlearn.experiment.gme.retraining import retrain
from tfunlearn.experiment.unlearning import Watch
from tfunlearn.experiment.verification.record import roc_values
from tfunlearn.experiment.verification.settings import VerifySettings
from tfunlearn.experiment.verification.subject import Subject, shadow
from tfunlearn.experiment.verification.views import Sets, View
from tfunlearn.verification import (
    challenge_score, forgetting_epsilons, forgetting_quality, membership_roc, u_lira_scores)


@dataclass(frozen=True)
class Shadowed:
    """What shadow federations tell.

    Attributes:
        before: AUC of U-LiRA with models that have not unlearned yet, against retrained ones.
        after: AUC with those that have.
        noise: how far from 0.5 so few models may come by chance.
        values: everything, JSON values.
    """

    before: float
    after: float
    noise: float
    values: dict


def shadowed(
    subject: Subject, sets: Sets, settings: VerifySettings, watch: Watch
) -> Shadowed:
    """Trains, unlearns and retrains what is missing, and measures.

    The noise takes models, not examples, as what is drawn: 1.96 standard deviations of the
    Mann-Whitney statistic of N against N, sqrt((2 N + 1) / 12) / N.
    """
    count, silent = settings.shadows, dataclasses.replace(watch, round=watch.reference_round)
    made, retrained = [], []
    for number in watch.track(list(range(1, count + 1))):
        made.append(shadow(subject, number, settings, watch.reference_round))
        retrained.append(sets.view(retrain(subject.case, number, silent).weights))
    trained, unlearned = ([sets.view(getattr(one, name)) for one in made]
                          for name in ("trained", "unlearned"))
    odds = {name: np.stack([view.odds["forgotten"] for view in views])
            for name, views in (("trained", trained), ("unlearned", unlearned),
                                ("retrained", retrained))}
    rocs = {name: membership_roc(*u_lira_scores(odds[name], odds["retrained"],
                                                variance=settings.variance))
            for name in ("trained", "unlearned")}
    scores = u_lira_scores(odds["unlearned"], odds["retrained"], variance=settings.variance)
    epsilons = forgetting_epsilons(odds["unlearned"], odds["retrained"])
    quality = forgetting_quality(epsilons, count)
    kept = [(_mean(unlearned, name), _mean(retrained, name)) for name in ("remaining", "test")]
    noise = 1.96 * math.sqrt((2 * count + 1) / 12) / count
    values = dict(
        count=count, before=roc_values(rocs["trained"]), after=roc_values(rocs["unlearned"]),
        accuracy=float(np.mean([np.mean(scores[0] > 0), np.mean(scores[1] <= 0)])), noise=noise,
        challenge=dict(
            quality=quality, score=challenge_score(quality, remaining=kept[0], test=kept[1]),
            remaining=kept[0], test=kept[1], epsilon_median=float(np.median(epsilons)),
            epsilon_limit=math.ceil(math.log(count - 1)),
            epsilons=[round(float(e), 4) for e in epsilons]))
    return Shadowed(rocs["trained"].auc, rocs["unlearned"].auc, noise, values)


def _mean(views: list[View], name: str) -> float:
    return float(np.mean([view.accuracy(name) for view in views]))
