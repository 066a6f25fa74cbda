"""Who can be told to have been trained on, under each of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfunlearn.core.seeds import generator, integers
from tfunlearn.evaluation import OutputsOf, probabilities
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.workflows.verify.central import CentralTraining
from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.predictions import Sets, View
from tfunlearn.models.initial import redrawn
from tfunlearn.models.outputs import ends_in_softmax
from tfunlearn.verification import (
    MembershipRoc, ShadowAttack, lira_scores, membership_roc, threshold_attack)

LEAST_EXAMPLES = 20  # to train the shadow-model attack; forgotten ones, for a verdict
LEAST_OTHERS = 10  # non-members that the shadow-model attack is measured on


@dataclass(frozen=True)
class Attacked:
    """What one attack reaches against each model.

    Attributes:
        before, after: against the model before unlearning and the unlearned one.
        retrained: against each retrained model.
        more: further numbers, JSON values.
    """

    before: MembershipRoc
    after: MembershipRoc
    retrained: list[MembershipRoc]
    more: dict = field(default_factory=dict)


def attack_by_threshold(
    before: View, after: View, retrained: Sequence[View], totals: dict[str, int],
    name: str = "forgotten",
) -> Attacked:
    """Returns what low losses tell of the examples of a set, beside those that no model saw.

    Args:
        before, after, retrained: the models.
        totals: how many examples `forgotten` and `remaining` stand for.
        name: `"forgotten"`, or `"remaining"` beside the test set: what unlearning does to those who
            stay.
    """
    other = "never" if name == "forgotten" else "test"

    def against(view: View, trained_on: Sequence[str]):
        threshold = float(np.average([view.loss(part) for part in trained_on],
                                     weights=[totals[part] for part in trained_on]))
        return threshold_attack(view.losses[name], view.losses[other], threshold=threshold)

    found = [against(before, ("remaining", "forgotten")), against(after, ("remaining",)),
             *(against(view, ("remaining",)) for view in retrained)]
    names = ["before", "after", *(f"retrained {n + 1}" for n in range(len(retrained)))]
    return Attacked(*(attack.roc for attack in found[:2]), [attack.roc for attack in found[2:]],
                    {label: dict(threshold=attack.threshold, tpr=attack.tpr, fpr=attack.fpr,
                                 advantage=attack.advantage)
                     for label, attack in zip(names, found)})


def attack_by_likelihood(
    before: View, after: View, retrained: Sequence[View], variance: str
) -> Attacked | None:
    """Returns what offline LiRA tells of the forgotten examples; None of fewer than 3 retrained
    models.

    The retrained models are the shadow models that never saw them, nor the test images. Every model
    is attacked with all of them but one: a retrained one with the others, the models before and
    after with the last one left out, so that all are attacked alike.
    """
    if len(retrained) < 3:
        return None

    def against(view: View, shadows: Sequence[View]) -> MembershipRoc:
        return membership_roc(*(lira_scores(
            view.odds[name], np.stack([shadow.odds[name] for shadow in shadows]),
            variance=variance) for name in ("forgotten", "never")))

    return Attacked(
        against(before, retrained[:-1]), against(after, retrained[:-1]),
        [against(view, [other for other in retrained if other is not view])
         for view in retrained])


def attack_by_shadow_models(
    task: UnlearningTask, sets: Sets, settings: VerifySettings, views: Sequence[View], track
) -> Attacked | None:
    """Returns what the shadow-model attack tells of the forgotten examples.

    Shadow models are trained centrally, from the run's initial weights redrawn, each on a random
    half of one half of the `pool` examples, which are of all classes: of one class alone they would
    learn a constant. The `never` examples of the other half are the non-members. None where there
    are too few.

    Args:
        task: what was forgotten.
        sets: the examples.
        settings: how many models, and how they train.
        views: before, after and the retrained models.
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
    model, training = task.source.model, task.source.federation.config.training
    kept = model.get_weights()
    central = CentralTraining(model, optimizer=training.optimizer, lr=training.lr,
                              batch_size=settings.shadow_batch)
    outputs_of, outputs, members = OutputsOf(model), [], []
    for number in track(list(range(settings.shadow_models))):
        member = np.zeros(len(learns), bool)
        member[rng.permutation(len(learns))[: len(learns) // 2]] = True
        rows = learns[member]
        seed = int(integers(settings.verify_seed, "shadow model", number)[0])
        for _ in central.steps(redrawn(model, seed), pool.images[rows], pool.labels[rows],
                               seed=seed, epochs=settings.shadow_epochs):
            pass
        outputs.append(probabilities(outputs_of(pool.images[learns]),
                                     from_logits=not ends_in_softmax(model)))
        members.append(member)
    model.set_weights(kept)
    attack = ShadowAttack(seed=settings.verify_seed).fit(
        outputs, [pool.labels[learns]] * len(outputs), members)
    rocs, recalls = [], []
    for view in views:
        scores = [attack.scores(view.probabilities["forgotten"], sets.sets["forgotten"].labels),
                  attack.scores(view.probabilities["never"][judges],
                                sets.sets["never"].labels[judges])]
        rocs.append(membership_roc(*scores))
        recalls.append({"recall": float(np.mean(scores[0] > 0.5)),
                        "fpr": float(np.mean(scores[1] > 0.5))})
    names = ["before", "after", *(f"retrained {n + 1}" for n in range(len(rocs) - 2))]
    return Attacked(rocs[0], rocs[1], rocs[2:], dict(zip(names, recalls)))
