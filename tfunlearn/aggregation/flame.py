"""FLAME: clustering of local models, clipping to the median norm, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.clipping import clipped_mean
from tfunlearn.aggregation.on_arrays import products
from tfunlearn.aggregation.rule import Rule
from tfunlearn.aggregation.stacks import finite_stack
from tfunlearn.core.blocks import cosines, gram
from tfunlearn.core.errors import UserError, require, require_real
from tfunlearn.core.fields import option

NOISE = 0.001  # the paper's lambda for images


def flame(updates, *, model=None, noise_factor: float = NOISE, rng=None):
    """Return the mean of the clipped updates of the largest cluster, plus noise.

        S = median of ||x_i|| over all rows
        mean over the cluster of x_i min(1, S / ||x_i||), plus normal noise of deviation lambda S

    Args:
        updates: float32 `(n, d)`, an array; non-finite rows are dropped.
        model: the global model `(d,)`, whose sum with each update is a local model; default zeros.
        noise_factor: lambda >= 0; default 0.001, the paper's for images.
        rng: `numpy.random.Generator`, required with noise.

    Returns:
        float32 `(d,)`. Sample counts are ignored.

    Deviation: noise is added to every weight, also to statistics of batch normalization, since a
    rule knows no layers.

    Raises:
        UserError: no finite row, no cluster, noise without `rng`, or an argument out of range.

    Reference:
        Nguyen et al., "FLAME: Taming backdoors in federated learning", USENIX Security 2022
        (arXiv 2101.02281).
    """
    require_real("noise_factor", noise_factor, lambda value: 0 <= value <= 1, "from 0 to 1")
    require(
        "rng",
        rng,
        noise_factor == 0 or isinstance(rng, np.random.Generator),
        "a numpy.random.Generator, since there is noise",
    )
    rows = finite_stack(updates).rows
    kept = flame_choice(rows, model)
    if not kept.any():
        raise UserError("flame: must find a cluster of more than half of the updates; got none")
    result, bound = clipped_mean(rows, kept)
    if rng is not None and noise_factor:
        result = result + rng.normal(0.0, noise_factor * bound, result.shape)
    return result.astype(np.float32)


def flame_choice(rows: np.ndarray, model: np.ndarray | None = None) -> np.ndarray:
    """Return the mask of the rows in the cluster, bool `(n,)`; all False if there is none.

    Cosine distances of the local models are clustered by HDBSCAN with a smallest cluster of
    n // 2 + 1, one sample, and a single cluster allowed.

    Args:
        rows: float32 `(n, d)`, finite.
        model: the global model `(d,)`; default zeros.
    """
    if len(rows) < 3:
        return np.ones(len(rows), bool)
    from sklearn.cluster import HDBSCAN

    cluster = HDBSCAN(
        min_cluster_size=len(rows) // 2 + 1,
        min_samples=1,
        allow_single_cluster=True,
        metric="precomputed",
        copy=True,
    )
    labels = cluster.fit(cosine_distances(rows, model)).labels_
    found = labels[labels >= 0]
    return labels == np.bincount(found).argmax() if len(found) else np.zeros(len(rows), bool)


def cosine_distances(rows: np.ndarray, model: np.ndarray | None = None) -> np.ndarray:
    """Return 1 - cosine of all pairs of local models, float64 `(n, n)`; of a zero model 1.

    Args:
        rows: updates, float32 `(n, d)`.
        model: `(d,)`, added to each of them; default zeros.
    """
    inner = gram(rows)
    if model is not None:  # of m + x_i
        model = np.asarray(model, np.float32)
        along = products(rows, model)
        inner += products(model[None], model) + along[:, None] + along[None, :]
    distances = np.clip(1 - cosines(inner), 0, 2)
    np.fill_diagonal(distances, 0)
    return distances


@dataclass(frozen=True)
class FlameSettings:
    """Settings of FLAME."""

    noise_factor: float = option(NOISE, "Noise, as a share of the median norm of the updates.")

    def __post_init__(self):
        require_real("noise_factor", self.noise_factor, lambda v: 0 <= v <= 1, "from 0 to 1")


FLAME = Rule(
    name="flame",
    summary="mean of the largest cluster of local models, clipped to the median norm, with noise",
    paper="Nguyen et al., USENIX Security 2022, arXiv 2101.02281",
    settings=FlameSettings,
    apply=lambda updates, given, own: flame(
        updates, model=given.model, noise_factor=own.noise_factor, rng=given.rng
    ),
    keeps=lambda rows, given, own: flame_choice(rows, given.model),
    takes_f=False,
    condition="more than half of the clients are benign",
    needs_arrays=lambda own: "rule",
    translates=False,
    tried_with={"noise_factor": 0.0},
    noiseless={"noise_factor": 0.0},
)
