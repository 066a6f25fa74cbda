"""Pruning of a model file."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import refuse, require, require_flags, require_fraction
from tfunlearn.core.files import creating, new_file
from tfunlearn.core.lazy import tf
from tfunlearn.datasets import load
from tfunlearn.evaluation import OutputsOf, accuracy
from tfunlearn.models.saved import SUFFIXES, load_model, require_fit
from tfunlearn.pruning.counting import limit_of
from tfunlearn.pruning.filters import is_zero_filter, prune_filter_sites
from tfunlearn.pruning.graph import Graph
from tfunlearn.pruning.intervals.propagation import Propagation
from tfunlearn.pruning.intervals.stages import NoBounds
from tfunlearn.pruning.pairs import PairChoice
from tfunlearn.pruning.sites import Site, chosen_sites, filter_sites, pair_sites, require_prunable

MOST_REPEATS = 10_000


@dataclass(frozen=True)
class PrunedLayer:
    """Pruning result of one layer.

    Attributes:
        layer: name of the layer; in a nested model preceded by that model's name, `base/conv`.
        kind: `"filters"` or `"units"`.
        units: number of filters or units of the layer.
        pruned: indices of the pruned ones, in the order of pruning.
        bound: upper bound on the change of any model output due to this layer, for any input in the
            range; None if the layer was skipped, bounds were not asked for, or they cannot be
            propagated through the model.
        skipped: why the layer was not pruned, or None.
        spared: number of passes that the limit stopped, wholly or in part.
        score: score that its pairs were chosen by, `"impact"` or `"saliency"`; None for filters.
    """

    layer: str
    kind: str
    units: int
    pruned: tuple[int, ...] = ()
    bound: float | None = None
    skipped: str | None = None
    spared: int = 0
    score: str | None = None


@dataclass(frozen=True)
class PrunedModel:
    """A pruned model.

    Attributes:
        model: the pruned Keras model.
        path: the saved file.
        layers: results of the layers.
        unbounded: why impact bounds that were asked for are missing, or None.
        accuracy_before: test accuracy before pruning, None without a data set.
        accuracy_after: test accuracy after pruning, None without a data set.
    """

    model: tf.keras.Model
    path: pathlib.Path
    layers: tuple[PrunedLayer, ...]
    unbounded: str | None
    accuracy_before: float | None = None
    accuracy_after: float | None = None


def prune(
    model: str | os.PathLike,
    *,
    out: str | os.PathLike,
    filters: float = 0.01,
    pairs: float = 0.01,
    repeat: int = 1,
    score: str = "impact",
    compat: str | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    include_residual: bool = True,
    exclude_zeroed: bool = True,
    limit: float | None = None,
    layers: Sequence[str] | None = None,
    bounds: bool = False,
    dataset: str | None = None,
    data_dir: str = "data",
    allow_code: bool | None = None,
    track: Callable[[Sequence], Iterable] = iter,
) -> PrunedModel:
    """Prune filters, then unit pairs, of a model file, and save the result in another file.

    Args:
        model: a `.keras` or `.h5` file of any Keras 2.13 or later, or (Keras 2) a SavedModel
            folder; nested models, several inputs and several outputs included.
        out: the file to write, `.keras` or `.h5`; must be new. The optimizer is not kept.
        filters: share of each convolution's filters, in [0, 1); default 0.01. 0 for none.
        pairs: share of each Dense layer's units, in [0, 1); default 0.01. 0 for none.
        repeat: number of passes; default 1.
        score, compat, input_range: as for `prune_pairs`.
        include_residual, exclude_zeroed: as for `prune_filters`.
        limit: largest total share of a layer's filters or units to prune; default None: 0.2, or the
            larger of `filters` and `pairs` if that is more.
        layers: names of the layers to prune; default all.
        bounds: whether to compute each layer's impact bound; default False. It takes a float64 pass
            through the model for every layer, and is loose for a deep model.
        dataset: a data set on whose test images, scaled to the input range, accuracy is measured
            before and after; None for no measurement.
        data_dir: folder of the data sets; default `data`.
        allow_code: as for `load_model`.
        track: wraps the sequence of layers and batches, to show progress.

    Raises:
        UserError: an argument is not allowed, the file is no model, or nothing can be pruned.
            Nothing is written then.
    """
    path = new_file("out", out, SUFFIXES)
    require_fraction("filters", filters)
    require_fraction("pairs", pairs)
    require(
        "repeat",
        repeat,
        type(repeat) is int and 1 <= repeat <= MOST_REPEATS,
        f"a whole number from 1 to {MOST_REPEATS}",
    )
    require("filters and pairs", 0.0, bool(filters or pairs), "above 0 for at least one of them")
    require_flags(include_residual=include_residual, exclude_zeroed=exclude_zeroed, bounds=bounds)
    limit = limit_of(limit, filters, pairs)
    choice = PairChoice(pairs, score, compat, input_range, limit=limit)
    keras_model = load_model(model, allow_code=allow_code, plain=False)
    graph = Graph.of(keras_model)
    prune_layer = functools.partial(
        prune_filter_sites, fraction=filters, exclude_zeroed=exclude_zeroed, limit=limit
    )
    work = _Work(
        graph, prune_layer, choice, _sites(graph, filters, pairs, include_residual, layers), bounds
    )
    measure = (
        None
        if dataset is None
        else _accuracy_of(keras_model, model, load(dataset, data_dir), input_range, track)
    )
    before = measure and measure()
    work.run(repeat, track)
    after = measure and measure()
    _save(keras_model, path)
    return PrunedModel(keras_model, path, work.layers(), work.unbounded, before, after)


def _accuracy_of(model, name, data, input_range, track) -> Callable[[], float]:
    """Return a function that measures accuracy on test images scaled to the input range."""
    require_fit(model, name, data.input_shape, data.classes)
    kind = tf.as_dtype(model.inputs[0].dtype)
    refuse("dataset", data.name, kind.is_floating, f"with a model that takes {kind.name}")
    low, high = input_range
    images = data.test_features
    if (low, high) != (0, 1):
        images = (images * np.float32((high - low) / 255) + np.float32(low)).astype(np.float32)
    return lambda: accuracy(OutputsOf(model)(images, track=track).argmax(axis=1), data.test_labels)


def _save(model, path: pathlib.Path) -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)  # hides the warning that .h5 is an old format
    try:
        with warnings.catch_warnings(), creating(path) as temporary:
            warnings.simplefilter("ignore")
            model.save(temporary)
    except FileExistsError:
        require("out", str(path), False, "a new file; this one was created meanwhile")


def _sites(graph: Graph, filters, pairs, include_residual, layers) -> list[tuple[str, Site]]:
    """Return the layers to prune, convolutions first, each with its kind."""
    convolutions = filter_sites(graph, include_residual=include_residual) if filters else []
    dense = pair_sites(graph) if pairs else []
    sites = chosen_sites([*convolutions, *dense], layers)
    require_prunable(graph, sites, "filters or unit pairs")
    return [("filters" if n < len(convolutions) else "units", site) for n, site in enumerate(sites)]


class _Work:
    """Prunes layer by layer and, if asked, sums up each layer's possible effect on the outputs."""

    def __init__(
        self, graph: Graph, prune_filters: Callable, choice: PairChoice, sites, bounds: bool
    ):
        self.unbounded: str | None = None
        self._graph, self._prune_filters, self._choice = graph, prune_filters, choice
        self._sites, self._spared = sites, dict.fromkeys((site.layer for _, site in sites), 0)
        self._weights, self._scores = graph.read(), {}
        self._propagation = (
            Propagation(graph, self._weights, choice.input_range) if bounds else None
        )
        self._pruned: dict[str, list[int]] = {site.layer: [] for _, site in sites}
        self._moves = {site.layer: (0.0, 0.0) for _, site in sites}

    def run(self, repeat: int, track) -> None:
        """Prune all layers `repeat` times, then set the model's weights."""
        before, changed = self._weights, 0
        for number, (kind, site) in enumerate(track(self._sites * repeat)):
            if number % len(self._sites) == 0 and number:
                if not changed:  # nothing is left to prune
                    break
                changed = 0
            if site.skipped:
                continue
            new, pruned = self._prune(kind, site)
            changed += len(pruned)
            self._pruned[site.layer] += pruned
            if self._propagation is not None:
                if pruned and self.unbounded is None:
                    self._add_move(site.layer, new)
                self._propagation.update(new)
            self._weights = new
        self._graph.write(before, self._weights)

    def layers(self) -> tuple[PrunedLayer, ...]:
        """Return the result of every layer."""
        return tuple(
            PrunedLayer(
                site.layer,
                kind,
                site.units,
                tuple(self._pruned[site.layer]),
                self._bound(site),
                site.skipped,
                self._spared[site.layer],
                self._scores.get(site.layer),
            )
            for kind, site in self._sites
        )

    def _prune(self, kind: str, site: Site) -> tuple[list, list[int]]:
        if kind == "filters":
            new, records = self._prune_filters(self._weights, [site])
            record = records[site.layer]
            gone = [k for k in record.pruned if not is_zero_filter(self._weights, site, k)]
        else:
            new, records = self._choice.prune(self._graph, self._weights, [site])
            record = records[site.layer]
            gone = list(record.removed)
            self._scores[site.layer] = record.score
        self._spared[site.layer] += record.spared > 0
        return new, gone

    def _add_move(self, layer: str, new: list[np.ndarray]) -> None:
        try:
            assert self._propagation is not None  # the caller has looked
            move = self._propagation.change(new)
        except NoBounds as error:
            self.unbounded = error.reason
            return
        self._moves[layer] = tuple(sum_ + end for sum_, end in zip(self._moves[layer], move))

    def _bound(self, site: Site) -> float | None:
        if self._propagation is None or site.skipped or self.unbounded:
            return None
        return float(max(np.max(np.abs(end)) for end in self._moves[site.layer]))
