"""Metrics that the verdict is based on, and additional metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfunlearn.core.verification_record import Comparison, EvidenceRecord
from tfunlearn.verification import Evidence, Grade
from tfunlearn.workflows.verify.membership import Attacked
from tfunlearn.workflows.verify.predictions import ModelPredictions, Sets
from tfunlearn.workflows.verify.settings import VerifySettings
from tfunlearn.workflows.verify.shadows import Shadowed

LEAST_SHADOWS = 6  # of each kind; with fewer, the permutation test cannot reach significance


def evidence_of(
    measures: Mapping[str, Comparison],
    sets: Sets,
    views: Sequence[ModelPredictions],
    attacks: Mapping[str, Attacked | None],
    shadows: Shadowed | None,
    settings: VerifySettings,
) -> tuple[list[Evidence], list[Evidence]]:
    """Return the five graded metrics, fixed before any is measured, and those only shown.

    Graded metrics: accuracy on the forget set; attack success rate if it was poisoned, else mean
    confidence in its labels (a probability, since the loss is unbounded for a forgotten class); the
    strongest available membership attack (U-LiRA with at least six shadow models of each kind, else
    LiRA, else the threshold attack); accuracy on the retain set; accuracy on the test set
    (restricted to classes with remaining examples).

    Args:
        measures: as returned by `behaviour.measures`.
        sets: the evaluation sets.
        views: predictions of the models before, after and retrained.
        attacks: `LiRA`, `threshold` and `shadow models`, None for attacks that were not run.
        shadows: result of U-LiRA, or None.
        settings: the tolerance and the number of shadow models.
    """
    counts = sets.counts
    tolerance = max(settings.tolerance, 1 / counts["forgotten"])
    graded = [
        _of_views(
            "forgotten accuracy",
            [v.accuracy("forgotten") for v in views],
            tolerance,
            examples=counts["forgotten"],
        )
    ]
    confidence = _of_views(
        "forgotten confidence", [v.confidence("forgotten") for v in views], tolerance
    )
    success, shown = measures["attack success"], []
    before, after, known = success.before, success.after, success.known
    if (
        was_poisoned(sets)
        and before is not None
        and after is not None
        and len(known) == len(success.retrained)
    ):
        eligible = sets.attacked_tests
        graded.append(
            Evidence(
                "attack success",
                before,
                after,
                tuple(known),
                max(settings.tolerance, 1 / eligible),
                examples=eligible,
            )
        )
        shown.append(confidence)
    else:
        graded.append(confidence)
    names = [name for name in ("LiRA", "threshold", "shadow models") if attacks[name] is not None]
    areas = {
        name: _of_attack(name, attack, tolerance)
        for name in names
        if (attack := attacks[name]) is not None
    }
    if shadows is not None and settings.shadows >= LEAST_SHADOWS:
        graded.append(
            Evidence(
                "U-LiRA, AUC",
                shadows.before,
                shadows.after,
                (0.5,),
                tolerance,
                p_value=shadows.p_value,
            )
        )
    else:
        graded.append(areas.pop(names[0]))
    graded.append(
        _of_views(
            "remaining accuracy",
            [v.accuracy("remaining") for v in views],
            settings.tolerance,
            utility=True,
            examples=counts["remaining"],
        )
    )
    graded.append(
        _of_views(
            "test accuracy",
            [v.accuracy("test", sets.stay) for v in views],
            settings.tolerance,
            utility=True,
            examples=int(sets.stay.sum()),
        )
    )
    return graded, [*shown, *areas.values()]


def _of_views(name: str, values: Sequence[float], tolerance: float, **more) -> Evidence:
    before, after, *retrained = map(float, values)
    return Evidence(name, before, after, tuple(retrained), tolerance, **more)


def _of_attack(name: str, attack: Attacked, tolerance: float) -> Evidence:
    return Evidence(
        f"{name} attack, AUC",
        attack.before.auc,
        attack.after.auc,
        tuple(roc.auc for roc in attack.retrained),
        tolerance,
    )


def was_poisoned(sets: Sets) -> bool:
    """Return whether any forgotten example was poisoned."""
    return sets.poisoned or sets.partly_poisoned


def evidence_record(g: Grade, *, graded: bool) -> EvidenceRecord:
    """Return the record of a grade; `graded` is False for a metric that is only shown."""
    e = g.evidence
    return EvidenceRecord(
        name=e.name,
        before=e.before,
        after=e.after,
        retrained=list(e.retrained),
        tolerance=e.tolerance,
        utility=e.utility,
        examples=e.examples,
        p_value=e.p_value,
        graded=graded,
        mean=e.mean,
        spread=e.spread,
        gap=e.gap,
        noise=g.noise,
        informative=g.informative,
        outside=g.outside,
        closed=g.closed,
        detectable=g.detectable,
        word=g.word,
    )
