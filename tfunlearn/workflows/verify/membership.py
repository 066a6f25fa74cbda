"""Membership-inference attacks on each of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.core.seeds import generator, integers
from tfunlearn.evaluation import OutputsOf, probabilities
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.models.initial import redrawn
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.verification import (
    MembershipRoc,
    ShadowAttack,
    lira_scores,
    membership_roc,
    threshold_attack,
)
from tfunlearn.workflows.verify.central import CentralTraining
from tfunlearn.workflows.verify.predictions import ModelPredictions, Sets
from tfunlearn.workflows.verify.settings import VerifySettings

LEAST_EXAMPLES = 20  # to train the shadow-model attack; forgotten ones, for a verdict
LEAST_OTHERS = 10  # non-members that the shadow-model attack is measured on


@dataclass(frozen=True)
class Attacked:
    """Result of one membership-inference attack against each model.

    Attributes:
        before: ROC against the model before unlearning.
        after: ROC against the unlearned model.
        retrained: ROC against each retrained model.
        more: further results by model, see `AttackRecord`.
    """

    before: MembershipRoc
    after: MembershipRoc
    retrained: list[MembershipRoc]
    more: dict[str, dict[str, float | None]] = field(default_factory=dict)


def attack_by_threshold(
    before: ModelPredictions,
    after: ModelPredictions,
    retrained: Sequence[ModelPredictions],
    totals: dict[str, int],
    name: str = "forgotten",
) -> Attacked:
    """Run the threshold attack on a set of examples against non-members.

    Args:
        before, after, retrained: predictions of the models.
        totals: size of the full `forgotten` and `remaining` sets.
        name: `"forgotten"` (default), with the non-members `never`; or `"remaining"`, with the
            test set as non-members: the effect of unlearning on the privacy of the retain set.
    """
    other = "never" if name == "forgotten" else "test"

    def against(view: ModelPredictions, trained_on: Sequence[str]):
        threshold = float(
            np.average(
                [view.loss(part) for part in trained_on],
                weights=[totals[part] for part in trained_on],
            )
        )
        return threshold_attack(view.losses[name], view.losses[other], threshold=threshold)

    found = [
        against(before, ("remaining", "forgotten")),
        against(after, ("remaining",)),
        *(against(view, ("remaining",)) for view in retrained),
    ]
    names = ["before", "after", *(f"retrained {n + 1}" for n in range(len(retrained)))]
    return Attacked(
        found[0].roc,
        found[1].roc,
        [attack.roc for attack in found[2:]],
        {
            label: dict(
                threshold=attack.threshold,
                tpr=attack.tpr,
                fpr=attack.fpr,
                advantage=attack.advantage,
            )
            for label, attack in zip(names, found)
        },
    )


def attack_by_likelihood(
    before: ModelPredictions,
    after: ModelPredictions,
    retrained: Sequence[ModelPredictions],
    variance: str,
) -> Attacked | None:
    """Run offline LiRA on the forget set; None for fewer than 3 retrained models.

    The retrained models are the shadow models, which never saw the forget set or the test images.
    Each model is attacked with all shadow models but one, so that all attacks are equally strong: a
    retrained model with the other retrained models, the models before and after with all but the
    last.
    """
    if len(retrained) < 3:
        return None

    def against(view: ModelPredictions, shadows: Sequence[ModelPredictions]) -> MembershipRoc:
        return membership_roc(
            *(
                lira_scores(
                    view.odds[name],
                    np.stack([shadow.odds[name] for shadow in shadows]),
                    variance=variance,
                )
                for name in ("forgotten", "never")
            )
        )

    return Attacked(
        against(before, retrained[:-1]),
        against(after, retrained[:-1]),
        [against(view, [other for other in retrained if other is not view]) for view in retrained],
    )


def attack_by_shadow_models(
    task: UnlearningTask,
    sets: Sets,
    settings: VerifySettings,
    views: Sequence[ModelPredictions],
    track,
) -> Attacked | None:
    """Run the shadow-model attack on the forget set; None if there are too few examples.

    The shadow models are trained centrally from re-initialized weights, each on a random half of
    one half of the `pool` examples. The pool contains all classes, since a shadow model trained on
    a single class would learn a constant. The `never` examples of the other half are the
    non-members.

    Args:
        task: the unlearning task.
        sets: the evaluation sets.
        settings: number of shadow models (with 0 the attack is not run), epochs and batch size.
        views: predictions of the models before, after and retrained.
        track: wraps the shadow models, to show progress.
    """
    pool = sets.sets["pool"]
    rng = generator(settings.verify_seed, "shadow split")
    order = rng.permutation(len(pool.labels))
    learns = order[: len(order) // 2]
    apart = np.ones(len(pool.labels), bool)
    apart[learns] = False
    judges = np.flatnonzero(apart[sets.alike])  # rows of `never`
    if len(judges) < LEAST_OTHERS or len(learns) < LEAST_EXAMPLES or not settings.shadow_models:
        return None
    model, training = task.source.model, task.source.federation.client_training
    kept = model.get_weights()
    central = CentralTraining(
        model, optimizer=training.optimizer, lr=training.lr, batch_size=settings.shadow_batch
    )
    outputs_of, outputs, members = OutputsOf(model), [], []
    for number in track(list(range(settings.shadow_models))):
        member = np.zeros(len(learns), bool)
        member[rng.permutation(len(learns))[: len(learns) // 2]] = True
        rows = learns[member]
        seed = int(integers(settings.verify_seed, "shadow model", number)[0])
        for _ in central.steps(
            redrawn(model, seed),
            pool.features[rows],
            pool.labels[rows],
            seed=seed,
            epochs=settings.shadow_epochs,
        ):
            pass
        outputs.append(
            probabilities(
                outputs_of(pool.features[learns]), from_logits=not gives_probabilities(model)
            )
        )
        members.append(member)
    model.set_weights(kept)
    attack = ShadowAttack(seed=settings.verify_seed).fit(
        outputs, [pool.labels[learns]] * len(outputs), members
    )
    rocs, recalls = [], []
    for view in views:
        scores = [
            attack.scores(view.probabilities["forgotten"], sets.sets["forgotten"].labels),
            attack.scores(view.probabilities["never"][judges], sets.sets["never"].labels[judges]),
        ]
        rocs.append(membership_roc(*scores))
        recalls.append(
            {"recall": float(np.mean(scores[0] > 0.5)), "fpr": float(np.mean(scores[1] > 0.5))}
        )
    names = ["before", "after", *(f"retrained {n + 1}" for n in range(len(rocs) - 2))]
    return Attacked(rocs[0], rocs[1], rocs[2:], dict(zip(names, recalls)))
