"""Likelihood-ratio attacks: LiRA with shadow models, and U-LiRA against unlearning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import choose, require
from tfunlearn.core.labels import require_labels
from tfunlearn.core.seeds import at_most
from tfunlearn.verification.roc import membership_roc

FEW = 16  # below this number of models, one deviation is estimated for all examples together
VARIANCES = ("auto", "example", "pooled")
_LEAST_STD = 1e-6


def confidences(outputs: np.ndarray, labels: np.ndarray, *, from_logits: bool) -> np.ndarray:
    """Return phi = log p(label) - log(1 - p(label)) of each example, float64 `(m,)`.

    1 - p is computed as the sum of the other classes' probabilities, so that phi stays finite for
    a model that is certain.

    Args:
        outputs: `(m, classes)` logits, or probabilities (at least 1e-30 each).
        labels: `(m,)` or `(m, 1)`, 0 to classes - 1.
        from_logits: whether `outputs` are logits, not probabilities.
    """
    outputs = np.asarray(outputs, np.float64)
    require("outputs", f"shape {outputs.shape}", outputs.ndim == 2, "class scores (m, classes)")
    labels = require_labels(labels, classes=outputs.shape[1], count=len(outputs))
    logits = outputs if from_logits else np.log(np.clip(outputs, 1e-30, None))
    rows = np.arange(len(labels))
    chosen = logits[rows, labels]
    wrong = logits.copy()
    wrong[rows, labels] = -np.inf
    top = wrong.max(axis=1)
    return chosen - top - np.log(np.exp(wrong - top[:, None]).sum(axis=1))


@dataclass(frozen=True)
class Gaussians:
    """A normal distribution for each example.

    Attributes:
        centers: medians over models, `(n,)`.
        deviations: standard deviations, `(n,)`.
    """

    centers: np.ndarray
    deviations: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, variance: str = "auto") -> Gaussians:
        """Fit per-example Gaussians.

        Args:
            values: phi of `n` examples under `k` models, `(k, n)`.
            variance: `"example"` fits a deviation from the median for each example, `"pooled"` one
                deviation for all examples; `"auto"` (default) is `"pooled"` below 16 models.

        Raises:
            UserError: fewer than two models, or values that are not finite.
        """
        choose("variance", variance, dict.fromkeys(VARIANCES))
        values = np.asarray(values, np.float64)
        require("models", len(values), len(values) >= 2, "at least 2")
        require("values", "NaN or infinity", bool(np.isfinite(values).all()), "finite numbers")
        centers = np.median(values, axis=0)
        squares = (values - centers) ** 2
        own = variance == "example" or (variance == "auto" and len(values) >= FEW)
        found = (
            np.sqrt(squares.mean(axis=0)) if own else np.full(len(centers), np.sqrt(squares.mean()))
        )
        return cls(centers, np.maximum(found, _LEAST_STD))

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Return log N(value) of each example, up to an additive constant common to all."""
        return -(((values - self.centers) / self.deviations) ** 2) / 2 - np.log(self.deviations)


def lira_scores(
    values: np.ndarray,
    never: np.ndarray,
    trained: np.ndarray | None = None,
    *,
    variance: str = "auto",
) -> np.ndarray:
    """Return the LiRA membership score of each example, `(n,)`; a higher score means member.

    With both kinds of shadow models (online), the score is log N(phi; trained) - log N(phi; never).
    Without `trained` (offline), it is the number of standard deviations above the shadow models
    that never saw the example; it ranks examples as the paper's one-sided probability does.

    Args:
        values: phi under the attacked model, `(n,)`.
        never: phi under shadow models that never saw the examples, `(k, n)`, k >= 2.
        trained: phi under shadow models trained on the examples, `(j, n)`, or None.
        variance: see `Gaussians.of`.

    Reference:
        Carlini et al., "Membership Inference Attacks From First Principles" (IEEE S&P 2022, arXiv
        2112.03570).
    """
    out = Gaussians.of(never, variance)
    if trained is None:
        return (np.asarray(values) - out.centers) / out.deviations
    return Gaussians.of(trained, variance).log_density(values) - out.log_density(values)


def permutation_p_value(
    unlearned: np.ndarray,
    retrained: np.ndarray,
    rng: np.random.Generator,
    *,
    variance: str = "auto",
    draws: int = 400,
    most: int = 300,
) -> float:
    """Return the p-value of the U-LiRA AUC under perfect unlearning (permutation test).

        p = (1 + number of permutations with an AUC at least as high) / (1 + draws)

    The pooled models are randomly re-partitioned, so that the two parts differ by chance alone. All
    examples of a model stay together.

    Args:
        unlearned, retrained: as for `u_lira_scores`.
        rng: draws the permutations and the examples.
        variance: as for `u_lira_scores`.
        draws: number of permutations; default 400, whose smallest possible p-value is 0.0025.
        most: maximum number of examples, drawn at random; default 300.
    """
    both = np.concatenate([unlearned, retrained])
    columns = at_most(np.arange(both.shape[1]), most, rng)

    def auc(models: np.ndarray) -> float:
        return membership_roc(
            *u_lira_scores(models[: len(unlearned)], models[len(unlearned) :], variance=variance)
        ).auc

    own = auc(both[:, columns])
    higher = sum(auc(both[rng.permutation(len(both))][:, columns]) >= own for _ in range(draws))
    return (1 + higher) / (1 + draws)


def u_lira_scores(
    unlearned: np.ndarray,
    retrained: np.ndarray,
    *,
    variance: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Return U-LiRA scores: the evidence that an example was unlearned rather than never seen.

    Each model is scored with Gaussians that were fitted without it. Fold i leaves out the i-th
    model of both kinds, so that both kinds are scored with equally many models.

    Args:
        unlearned: phi under models that were trained on the examples and then unlearned them,
            `(k, n)`, k >= 3.
        retrained: phi under models that never saw the examples, `(k, n)`.
        variance: see `Gaussians.of`.

    Returns:
        Scores under the unlearned models and under the retrained models, both `(k, n)`; a higher
        score means unlearned. Under perfect unlearning both have the same distribution.

    Raises:
        UserError: fewer than 3 models, or different numbers of unlearned and retrained models.

    Reference:
        Hayes et al., "Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of
        Privacy" (2024, arXiv 2403.01218).
    """
    unlearned, retrained = np.asarray(unlearned, float), np.asarray(retrained, float)
    require(
        "models",
        f"{len(unlearned)} and {len(retrained)}",
        len(unlearned) == len(retrained) >= 3,
        "at least 3, as many unlearned as retrained",
    )
    found = np.empty((2, *unlearned.shape))
    for fold in range(len(unlearned)):
        fits = [
            Gaussians.of(np.delete(kind, fold, axis=0), variance) for kind in (unlearned, retrained)
        ]
        for side, kind in enumerate((unlearned, retrained)):
            found[side, fold] = fits[0].log_density(kind[fold]) - fits[1].log_density(kind[fold])
    return found[0], found[1]
