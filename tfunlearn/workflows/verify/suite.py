"""Verification of an unlearned run: all metrics compared with retraining, and a verdict."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.errors import require
from tfunlearn.core.files import checksum, digest_of
from tfunlearn.core.verification_record import (
    RETAIN_ATTACK,
    AttackRecord,
    ComparedModel,
    VerdictRecord,
    VerificationRecord,
)
from tfunlearn.training.engine import versions_of
from tfunlearn.verification import Evidence, Verdict, grade, judge
from tfunlearn.workflows.unlearn.callbacks import SILENT, UnlearningCallbacks
from tfunlearn.workflows.verify import behaviour
from tfunlearn.workflows.verify.grading import (
    LEAST_SHADOWS,
    evidence_of,
    evidence_record,
    was_poisoned,
)
from tfunlearn.workflows.verify.membership import (
    LEAST_EXAMPLES,
    Attacked,
    attack_by_likelihood,
    attack_by_shadow_models,
    attack_by_threshold,
)
from tfunlearn.workflows.verify.predictions import Sets
from tfunlearn.workflows.verify.record import records, roc_record, write_record
from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.shadows import attack_with_shadow_federations
from tfunlearn.workflows.verify.target import VerificationTarget, open_target, with_retrained

RULES = 2  # version of metrics and verdict; a new version invalidates earlier verifications
NO_INVERSION = "model inversion, which needs gray or color images"
ALWAYS_LEFT_OUT = (
    "attacks during unlearning (a client that submits false data or updates)",
    "leakage to an adversary who compares the models before and after unlearning",
    "per-example attacks on retained data",
)


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Attributes:
        folder: folder of the verification within the run directory.
        results: settings, results and verdict.
        new: False if the verification existed already.
    """

    folder: pathlib.Path
    results: VerificationRecord
    new: bool

    @property
    def record(self) -> dict:
        """The results as `verification.json` holds them."""
        return self.results.as_json()


def verify(
    run: str | os.PathLike,
    settings: VerifySettings = VerifySettings(),
    *,
    against: Sequence[str | os.PathLike] = (),
    data_dir: str | None = None,
    watch: UnlearningCallbacks = SILENT,
    tell: Callable[[str], None] | None = None,
) -> Verification:
    """Verify that an unlearned run has forgotten, by comparison with retrained models.

    Retrained models and shadow federations that do not exist next to the run are trained first; an
    interrupted call resumes after those that are complete. Repeating the same call returns the
    existing verification.

    Args:
        run: the unlearned run.
        settings: attacks to run, and numbers of models.
        against: retrained runs of the same request, which replace those of `settings.retrains`.
        data_dir: directory of the data set; default that of the run's configuration.
        watch: callbacks of trainings, stages and progress.
        tell: called instead of `watch.on_stage`; for compatibility with earlier builds.

    Raises:
        UserError: no unlearned run, damaged files, or runs of different sources or requests.
        WorkerError: TFF's worker process died.
    """
    started = time.perf_counter()
    subject = open_target(run, against, data_dir)
    require(
        "shadows",
        settings.shadows,
        not settings.shadows or not subject.task.source.requests,
        "0 where the source run was itself unlearned, since shadow models are trained like it",
    )
    if not against:
        subject = with_retrained(subject, settings.retrains, watch)
    identity = _identity(subject, settings)
    directory = subject.unlearned.directory
    for folder, record in records(directory):
        if record.key == identity["key"]:
            return Verification(folder, record, False)
    with directory.locked():
        content = _run_verification(subject, settings, watch, tell or watch.on_stage)
        seconds = round(time.perf_counter() - started, 3)
        record = VerificationRecord(**identity, **content, seconds=seconds)
        folder = write_record(directory, record)
    return Verification(folder, dict(records(directory))[folder], True)


def _identity(subject: VerificationTarget, settings: VerifySettings) -> dict:
    """Return the fields of the record that identify a verification, with their hash as `key`."""
    unlearned = subject.unlearned
    asked: dict[str, Any] = dict(
        verification=RULES,
        settings=dataclasses.asdict(settings),
        method=unlearned.record.method,
        requests=unlearned.record.requests,
        run_checkpoint_sha256=checksum(unlearned.directory.checkpoint),
        source_checkpoint_sha256=checksum(subject.task.source.directory.checkpoint),
        retrained=[
            ComparedModel(
                path=os.path.abspath(one.directory.path),
                seed=one.record.seed,
                checkpoint_sha256=checksum(one.directory.checkpoint),
            )
            for one in subject.retrained
        ],
    )
    content = {**asked, "retrained": [one.checkpoint_sha256 for one in asked["retrained"]]}
    return {
        "key": digest_of(content)[:16],
        **asked,
        "run": os.path.abspath(unlearned.directory.path),
        "source": os.path.abspath(subject.task.source.directory.path),
        "seed": unlearned.record.seed,
        "versions": versions_of(subject.task.source.federation.config),
    }


def _run_verification(
    subject: VerificationTarget,
    settings: VerifySettings,
    watch: UnlearningCallbacks,
    tell: Callable[[str], None],
) -> dict:
    task = subject.task
    inverted = settings.inversion and task.source.federation.data.is_image
    if settings.inversion and not inverted:
        tell(f"without {NO_INVERSION}")
    sets = Sets(task, settings.verify_seed)
    tell("evaluating the models")
    weights = [
        subject.before,
        subject.unlearned.weights,
        *(one.weights for one in subject.retrained),
    ]
    before, after, *retrained = [sets.view(own) for own in watch.track(weights)]
    measures = behaviour.measures(before, after, retrained)
    found: dict[str, Any] = dict(
        counts=sets.counts,
        poisoned=sets.poisoned,
        partly_poisoned=sets.partly_poisoned,
        overlap=task.overlap,
        measures=measures,
        classes=behaviour.by_class(sets, before, after, retrained),
        clients=behaviour.by_client(sets, before, after, retrained),
        confusion=behaviour.confusion(before, after, retrained),
        groups=behaviour.groups(before, after, retrained),
    )
    tell("membership-inference attacks")
    views = (before, after, *retrained)
    attacks = {
        "threshold": attack_by_threshold(before, after, retrained, sets.totals),
        "LiRA": attack_by_likelihood(before, after, retrained, settings.variance),
        "shadow models": attack_by_shadow_models(task, sets, settings, views, watch.track),
        RETAIN_ATTACK: attack_by_threshold(before, after, retrained, sets.totals, "remaining"),
    }
    found["membership"] = {
        name: _attack_record(attack) for name, attack in attacks.items() if attack is not None
    }
    names = [f"retrained {n + 1}" for n in range(len(retrained))]
    if settings.relearn_epochs:
        tell("relearning")
        found["relearning"] = behaviour.relearning(
            task,
            sets,
            settings,
            dict(zip(["after", *names], weights[1:])),
            subject.before,
            watch.track,
        )
    if inverted:
        tell("model inversion")
        found["inversion"] = behaviour.inversions(
            task, sets, dict(zip(["before", "after", "retrained"], weights[:3])), watch.track
        )
    shadows = None
    if settings.shadows:
        tell(f"{settings.shadows} shadow federations")
        shadows = attack_with_shadow_federations(subject, sets, settings, watch)
        found["shadows"] = shadows.record
    graded, shown = evidence_of(measures, sets, views, attacks, shadows, settings)
    found["evidence"] = [
        *(evidence_record(g, graded=True) for g in grade(graded)),
        *(evidence_record(grade([e])[0], graded=False) for e in shown),
    ]
    verdict = _verdict_on(graded, sets.counts["forgotten"])
    found["verdict"] = VerdictRecord(
        verdict.word, verdict.sentence, verdict.plain, list(verdict.words)
    )
    found["not_tested"] = _left_out(
        sets, attacks, settings, subject, groups=found["groups"] is not None
    )
    return found


def _verdict_on(evidence: Sequence[Evidence], examples: int) -> Verdict:
    """Return the verdict; for fewer than 20 forgotten examples, only damage is tested."""
    if examples < LEAST_EXAMPLES:
        utility = judge([e for e in evidence if e.utility])
        if utility.word == "damaged":
            return utility
        words = (
            f"{examples} forgotten example{'s' * (examples > 1)}; the metrics need at least "
            f"{LEAST_EXAMPLES}"
        )
        return Verdict(
            "not shown",
            f"The evidence does not show whether the model has forgotten: {words}.",
            f"Not shown: {words}; only the values are reported.",
            ("not shown",),
        )
    return judge(evidence)


def _attack_record(attack: Attacked) -> AttackRecord:
    return AttackRecord(
        roc_record(attack.before),
        roc_record(attack.after),
        [roc_record(roc) for roc in attack.retrained],
        attack.more,
    )


def _left_out(
    sets: Sets,
    attacks: dict,
    settings: VerifySettings,
    subject: VerificationTarget,
    *,
    groups: bool,
) -> list[str]:
    """Return sentences on what was not tested."""
    left = []
    if len(subject.retrained) < 3:
        left.append(
            f"the variance of retraining beyond {len(subject.retrained)} seed"
            f"{'s' * (len(subject.retrained) > 1)}, without which there is no verdict "
            "(--retrains)"
        )
    if attacks["LiRA"] is None:
        left.append("LiRA, which needs 3 retrained models (--retrains)")
    if 0 < settings.shadows < LEAST_SHADOWS:
        left.append(
            f"U-LiRA in the verdict: {settings.shadows} shadow models of each kind cannot reach "
            f"significance; at least {LEAST_SHADOWS} are needed (--shadows)"
        )
    if not settings.shadows:
        left.append("U-LiRA and the NeurIPS 2023 score, which need shadow federations (--shadows)")
    if attacks["shadow models"] is None:
        left.append(
            "the shadow-model attack"
            + (
                " (--shadow-models)"
                if not settings.shadow_models
                else ": too few test images of the classes in the forget set"
            )
        )
    if not settings.relearn_epochs:
        left.append("relearn time (--relearn-epochs)")
    if not settings.inversion:
        left.append("model inversion (--inversion)")
    elif not subject.task.source.federation.data.is_image:
        left.append(NO_INVERSION)
    if not groups:
        left.append("memorization groups, which need 20 examples and 2 retrained models")
    if not was_poisoned(sets):
        left.append("attack success: the forget set holds no poisoned examples")
    threshold = attacks["threshold"].after
    left += [
        f"true-positive rates at a false-positive rate of {level:.1%}: {threshold.others} "
        f"non-members resolve only rates of at least {threshold.resolution:.2%}"
        for level in threshold.tpr_at
        if not threshold.resolves(level)
    ]
    if sets.partly_poisoned:
        left.append(
            "poisoned examples as such: only part of the forget set was poisoned, or only in "
            "some rounds, and the non-members are not poisoned"
        )
    if subject.task.overlap:
        left.append(
            f"{subject.task.overlap:.1%} of the forgotten examples are also held by remaining "
            "clients, so the model may legitimately keep what it learned from them"
        )
    return [*left, *ALWAYS_LEFT_OUT]
