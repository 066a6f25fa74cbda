"""The record of a verification, as stored in `verification.json` and shared between packages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfunlearn.core.json_values import from_json, to_json

RETAIN_ATTACK = "threshold, retain set"
OPTIONAL = ("relearning", "inversion", "shadows")  # absent from the JSON if not run


@dataclass(frozen=True)
class Comparison:
    """One metric of the models before and after unlearning and of each retrained model.

    Attributes:
        before, after: values, None where unknown or not a number.
        retrained: value of each retrained model, `(K,)`.
    """

    before: float | None
    after: float | None
    retrained: list[float | None]

    @property
    def known(self) -> list[float]:
        """The known values of the retrained models."""
        return [value for value in self.retrained if value is not None]


@dataclass(frozen=True)
class ConfusionMatrices:
    """Confusion matrices of the test images, `(true class, predicted class)`, of each model.

    Attributes:
        before, after: matrices, None where unknown.
        retrained: matrix of each retrained model.
    """

    before: list[list[int]] | None
    after: list[list[int]]
    retrained: list[list[list[int]]]


@dataclass(frozen=True)
class ClassMetrics:
    """Accuracy and loss on the test images of one class.

    Attributes:
        label: the class.
        examples: number of test images.
        accuracy, loss: metrics of each model.
    """

    label: int
    examples: int
    accuracy: Comparison
    loss: Comparison


@dataclass(frozen=True)
class ClientMetrics:
    """Accuracy and loss on the training data of one client.

    Attributes:
        client: id of the client.
        data: `"remaining"`, `"forgotten"`, or `"training"` where nothing was forgotten.
        examples: number of its examples.
        accuracy, loss: metrics of each model.
    """

    client: int
    data: str
    examples: int
    accuracy: Comparison
    loss: Comparison


@dataclass(frozen=True)
class GroupRow:
    """Accuracy of one model on groups of examples.

    Attributes:
        mean: accuracy on each group.
        spread: standard deviation on each group over the models.
    """

    mean: list[float | None]
    spread: list[float | None]


@dataclass(frozen=True)
class MemorizationGroups:
    """Accuracy on the forget set by groups of memorization.

    Attributes:
        groups: names of the groups, the last one all examples.
        sizes: number of examples of each group.
        before, after, retrained: accuracy of the models.
    """

    groups: list[str]
    sizes: list[int]
    before: GroupRow
    after: GroupRow
    retrained: GroupRow

    @property
    def rows(self) -> dict[str, GroupRow]:
        """Accuracy by model: `before`, `after`, `retrained`."""
        return {"before": self.before, "after": self.after, "retrained": self.retrained}


@dataclass(frozen=True)
class RocRecord:
    """ROC of a membership-inference attack on one model.

    Attributes:
        auc: area under the curve.
        balanced_accuracy: largest balanced accuracy over all thresholds.
        tpr_at: false-positive rate, as text, to true-positive rate.
        resolved: false-positive rate, as text, to whether there are enough non-members for it.
        members, others: number of members and of non-members.
        resolution: smallest false-positive rate that can be measured.
        fpr, tpr: the curve, at most 400 points.
    """

    auc: float
    balanced_accuracy: float
    tpr_at: dict[str, float]
    resolved: dict[str, bool]
    members: int
    others: int
    resolution: float
    fpr: list[float]
    tpr: list[float]


@dataclass(frozen=True)
class AttackRecord:
    """A membership-inference attack on each model.

    Attributes:
        before, after: ROC of the models before and after unlearning.
        retrained: ROC of each retrained model.
        more: model (`before`, `after`, `retrained 1`, ...) to further results: `threshold`, `tpr`,
            `fpr`, `advantage` of the threshold attack; `recall`, `fpr` of the shadow-model attack.
    """

    before: RocRecord
    after: RocRecord
    retrained: list[RocRecord]
    more: dict[str, dict[str, float | None]]

    @property
    def curves(self) -> dict[str, RocRecord]:
        """ROC by model: `before`, `after`, `retrained 1`, ..."""
        numbered = {f"retrained {n + 1}": roc for n, roc in enumerate(self.retrained)}
        return {"before": self.before, "after": self.after, **numbered}


@dataclass(frozen=True)
class Relearning:
    """Relearn times on the forget set.

    Attributes:
        curves: model (`after`, `retrained 1`, ...) to pairs of step and accuracy.
        steps: model to relearn time in optimizer steps, None if it never relearned.
        limit: maximum number of steps.
        each: steps between two measurements.
        examples: number of examples.
        original: accuracy before unlearning.
        goal: accuracy to reach.
        index: anamnesis index, None if undefined, infinite if the unlearned model never relearned.
    """

    curves: dict[str, list[list[float]]]
    steps: dict[str, int | None]
    limit: int
    each: int
    examples: int
    original: float
    goal: float
    index: float | None


@dataclass(frozen=True)
class Inversion:
    """Images of one class, inverted from each model.

    Attributes:
        label: the class.
        mean: mean image of the class in the forget set, `(height, width, channels)`, 0 to 255.
        images: model to its inverted image.
        costs: model to the image's cost, -log p.
        likeness: model to correlation with the mean image, None for a constant image.
    """

    label: int
    mean: list
    images: dict[str, list]
    costs: dict[str, float | None]
    likeness: dict[str, float | None]


@dataclass(frozen=True)
class ChallengeScore:
    """Score of the NeurIPS 2023 machine unlearning challenge.

    Attributes:
        quality: forgetting quality F.
        chance: F of models that do not differ, estimated by random re-partitioning.
        score: the score, None if a retrained model has an accuracy of 0.
        remaining, test: mean accuracy of unlearned and of retrained models on retain and test set.
        epsilon_median: median of the examples' epsilons.
        epsilon_limit: largest epsilon that so many models can show.
        epsilons: epsilon of each example of the forget set.
    """

    quality: float
    chance: float
    score: float | None
    remaining: list[float]
    test: list[float]
    epsilon_median: float
    epsilon_limit: int
    epsilons: list[float]


@dataclass(frozen=True)
class ShadowRecord:
    """Results obtained with shadow federations.

    Attributes:
        count: number of models of each kind.
        before, after: ROC of U-LiRA between trained or unlearned and retrained models.
        accuracy: accuracy of U-LiRA.
        p_value: p-value of `after` under perfect unlearning, None in records of an earlier build.
        challenge: the challenge score.
    """

    count: int
    before: RocRecord
    after: RocRecord
    accuracy: float
    challenge: ChallengeScore
    p_value: float | None = None


@dataclass(frozen=True)
class EvidenceRecord:
    """One metric with its grade, see `verification.Evidence` and `verification.Grade`.

    Attributes:
        name: name of the metric.
        before, after: values of the models before and after unlearning.
        retrained: value of each retrained model.
        tolerance: difference that is always ignored.
        mean, spread: mean and standard deviation of the retrained models.
        gap: difference between the unlearned model and the mean.
        noise: deviation expected under perfect unlearning.
        word: the grade.
        utility: whether it is a utility metric.
        examples: number of examples if the metric is a share of them.
        p_value: p-value of a metric with its own null distribution.
        graded: whether the verdict is based on it.
        informative: whether the model before unlearning can be told from retraining by it.
        outside: how it differs from retraining, None within the noise.
        closed: whether more than half of the gap was significantly closed, None if untested.
        detectable: difference that is detected with a probability of 80 %.
    """

    name: str
    before: float
    after: float
    retrained: list[float]
    tolerance: float
    mean: float
    spread: float | None
    gap: float
    noise: float
    word: str
    utility: bool = False
    examples: int | None = None
    p_value: float | None = None
    graded: bool = True
    informative: bool | None = None
    outside: str | None = None
    closed: bool | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class VerdictRecord:
    """A verdict, see `verification.Verdict`.

    Attributes:
        word: the verdict.
        sentence: the reasons.
        plain: one sentence for non-specialist readers, None in records of an earlier build.
        words: all verdicts that apply.
    """

    word: str
    sentence: str
    plain: str | None = None
    words: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class ComparedModel:
    """A retrained model that the verification compared with.

    Attributes:
        path: its run directory.
        seed: its seed.
        checkpoint_sha256: checksum of its weights.
    """

    path: str
    seed: int
    checkpoint_sha256: str


@dataclass(frozen=True)
class VerificationRecord:
    """Content of `verification.json`.

    Attributes:
        key: hash of everything that determines the results.
        verification: version of metrics and verdict.
        settings: settings of the verification.
        method: unlearning method of the run.
        requests: the terms of every request so far.
        run_checkpoint_sha256, source_checkpoint_sha256: checksums of the weights.
        retrained: the retrained models.
        run, source: paths of the unlearned run and of its source.
        seed: seed of the unlearned run.
        versions: versions of the libraries.
        counts: set name to number of examples.
        poisoned: whether test images are poisoned like the forget set.
        partly_poisoned: whether the forget set was poisoned in part or in some rounds only.
        overlap: share of forgotten examples that remaining clients hold too.
        measures: metric to values of each model.
        classes, clients: accuracy and loss by class and by client.
        confusion: confusion matrices of the test images.
        groups: accuracy by memorization, None for too few examples or models.
        membership: attack to its results.
        evidence: graded metrics, then those only shown.
        verdict: the verdict.
        not_tested: sentences on what was not tested.
        seconds: wall time.
        relearning, inversion, shadows: results of optional tests, None if not run.
    """

    key: str
    verification: int
    settings: dict[str, Any]
    method: str
    requests: list[list[str]]
    run_checkpoint_sha256: str
    source_checkpoint_sha256: str
    retrained: list[ComparedModel]
    run: str
    source: str
    seed: int
    versions: dict[str, Any]
    counts: dict[str, int]
    poisoned: bool
    partly_poisoned: bool
    overlap: float
    measures: dict[str, Comparison]
    classes: list[ClassMetrics]
    clients: list[ClientMetrics]
    confusion: ConfusionMatrices
    groups: MemorizationGroups | None
    membership: dict[str, AttackRecord]
    evidence: list[EvidenceRecord]
    verdict: VerdictRecord
    not_tested: list[str]
    seconds: float
    relearning: Relearning | None = None
    inversion: list[Inversion] | None = None
    shadows: ShadowRecord | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> VerificationRecord:
        """Return the record of a JSON object, also of one written by an earlier build.

        Raises:
            KeyError, TypeError, AttributeError: a field is missing, unknown, or of another
                structure.
        """
        content = dict(content)
        if content["verification"] == 1:
            content["evidence"] = [_of_first_rules(e) for e in content["evidence"]]
        content["membership"] = {
            RETAIN_ATTACK if name == "threshold, those who stay" else name: attack
            for name, attack in content["membership"].items()
        }
        if content.get("shadows"):
            known = {f.name for f in dataclasses.fields(ShadowRecord)}
            content["shadows"] = {k: v for k, v in content["shadows"].items() if k in known}
        return from_json(cls, content)

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        found = to_json(dataclasses.asdict(self))
        for name in OPTIONAL:
            if found[name] is None:
                del found[name]
        return found

    @property
    def curves(self) -> dict[str, dict[str, RocRecord]]:
        """ROC curves by attack and model."""
        found = {name: attack.curves for name, attack in self.membership.items()}
        if self.shadows is not None:
            found["U-LiRA"] = {"before": self.shadows.before, "after": self.shadows.after}
        return found


def _of_first_rules(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return a graded metric of the first version of the verdict, whose grade was a word only."""
    known = {f.name for f in dataclasses.fields(EvidenceRecord)} - {"closed"}
    return {**{k: v for k, v in evidence.items() if k in known}, "word": evidence["grade"]}
