"""Finds, by class and by the graph, the layers of a model that can be pruned, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tfunlearn.core.errors import UserError, nearest
from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.intervals.activations import is_softmax
from tfunlearn.pruning.kinds import (
    ELEMENTWISE, NORMS, is_conv, is_dense, keeps_channels, left_alone)


@dataclass(frozen=True)
class Site:
    """One layer that may be pruned; all numbers are positions in `model.get_weights()`.

    Attributes:
        layer: name of the layer.
        units: number of filters or units.
        kernel: its kernel, output channel last.
        bias: its bias, or None.
        followers: entries of the normalisation behind it that are zeroed with a channel.
        outgoing: kernels of the Dense layers that read the units (pairs only), units first.
        skipped: why the layer is left alone, or None.
    """

    layer: str
    units: int
    kernel: int = -1
    bias: int | None = None
    followers: tuple[int, ...] = ()
    outgoing: tuple[int, ...] = ()
    skipped: str | None = None


def filter_sites(graph: Graph, *, include_residual: bool = True) -> list[Site]:
    """Returns a site for every convolution, in the order of the layers."""
    return [_filter_site(graph, layer, include_residual) for layer in graph.model.layers
            if is_conv(layer) or left_alone(layer)]


def pair_sites(graph: Graph) -> list[Site]:
    """Returns a site for every Dense layer, in the order of the layers."""
    return [_pair_site(graph, layer) for layer in graph.model.layers if is_dense(layer)]


def chosen_sites(sites: Sequence[Site], layers: Sequence[str] | None) -> list[Site]:
    """Returns the sites, all but those named in `layers` marked as skipped.

    Raises:
        UserError: a name is not among the sites, or its layer cannot be pruned.
    """
    if layers is None:
        return list(sites)
    known = {site.layer: site for site in sites}
    for name in layers:
        if name not in known:
            raise UserError(f"layers: no prunable layer '{name}'{nearest(name, known)} "
                            f"(known: {', '.join(known) or 'none'})")
        if known[name].skipped:
            raise UserError(f"layers: '{name}' cannot be pruned ({known[name].skipped})")
    return [site if site.layer in layers or site.skipped else replace(site, skipped="not named")
            for site in sites]


def require_prunable(graph: Graph, sites: Sequence[Site], what: str) -> None:
    """Raises a `UserError` unless some site can be pruned; the message gives the reasons."""
    if all(site.skipped for site in sites):
        reasons = "; ".join(f"{site.layer}: {site.skipped}" for site in sites[:4])
        raise UserError(f"model: '{graph.model.name}' has no layer with {what} to prune"
                        f" ({reasons or 'no layer of that kind'})")


def _filter_site(graph: Graph, layer, include_residual: bool) -> Site:
    calls = graph.calls(layer)
    if not is_conv(layer):
        return Site(layer.name, int(layer.weights[0].shape[-1]), skipped=left_alone(layer))
    if not calls:
        return Site(layer.name, layer.filters, skipped="does not lead to an output")
    if graph.gives_output(calls):
        return Site(layer.name, layer.filters, skipped="output layer")
    if not include_residual and _is_bypassed(graph, layer):
        return Site(layer.name, layer.filters, skipped="inside a residual block")
    followers = _norm_entries_behind(graph, calls)
    if any(graph.variables[entry].shape != (layer.filters,) for entry in followers):
        return Site(layer.name, layer.filters,
                    skipped="the normalisation behind it is not one channel a filter")
    return Site(layer.name, layer.filters, graph.position(layer.kernel),
                graph.position(layer.bias), tuple(followers))


def _norm_entries_behind(graph: Graph, calls: Sequence[Node]) -> list[int]:
    """Returns the entries of the norms that read the channels of `calls` and of nothing else."""
    reached, waiting = {}, graph.readers_of(calls)
    while waiting:
        node = waiting.pop(0)
        if id(node) not in reached:
            reached[id(node)] = node
            if keeps_channels(node.kind):
                waiting += graph.readers_of([node])
    return [entry for node in reached.values() if node.kind in NORMS
            and all(id(call) in reached for call in graph.calls(node.layer))
            for entry in norm_entries(graph, node.layer)]


def norm_entries(graph: Graph, layer) -> list[int]:
    """Returns the entries that, zeroed, make a normalisation emit zero for a channel of zeros.

    Without gamma a BatchNormalization emits -mean / deviation, so its mean goes too.
    """
    weights = [getattr(layer, "gamma", None), getattr(layer, "beta", None)]
    if weights[0] is None:
        weights.append(getattr(layer, "moving_mean", None))
    return [graph.position(weight) for weight in weights if weight is not None]


def _pair_site(graph: Graph, layer) -> Site:
    calls = graph.calls(layer)
    if not calls:
        return Site(layer.name, layer.units, skipped="does not lead to an output")
    path, readers, obstacle = _towards_dense(graph, calls)
    for node in [*calls, *path]:
        if graph.gives_output([node]):
            obstacle = "output layer"
        elif is_softmax(getattr(node.layer, "activation", None)):
            obstacle = obstacle or f"the softmax of '{node.layer.name}' mixes its units"
    if obstacle is None:
        obstacle = _shared_or_folded(graph, layer, [*calls, *path], readers)
    if obstacle:
        return Site(layer.name, layer.units, skipped=obstacle)
    norms = [entry for node in path if node.kind in NORMS
             for entry in norm_entries(graph, node.layer)]
    outgoing = tuple(dict.fromkeys(graph.position(node.layer.kernel) for node in readers))
    return Site(layer.name, layer.units, graph.position(layer.kernel),
                graph.position(layer.bias), tuple(dict.fromkeys(norms)), outgoing)


def _towards_dense(graph: Graph, calls) -> tuple[list[Node], list[Node], str | None]:
    """Returns the nodes passed on the way to Dense layers, those layers' nodes, and an obstacle."""
    path, readers, waiting = [], [], graph.readers_of(calls)
    while waiting:
        node = waiting.pop(0)
        name = node.layer.name
        if is_dense(node.layer):
            readers.append(node)
        elif node.kind in ELEMENTWISE or node.kind in ("BatchNormalization", "Flatten"):
            if node not in path:
                path.append(node)
                waiting += graph.readers_of([node])
        elif node.kind in NORMS:
            return path, readers, f"the {node.kind} '{name}' mixes its units"
        else:
            return path, readers, (f"read by '{name}' ({type(node.layer).__name__}), "
                                   "not by a Dense layer")
    return path, readers, None


def _shared_or_folded(graph: Graph, layer, reached, readers) -> str | None:
    """Returns why the units cannot be taken out of what reads them, or None."""
    if any(int(node.layer.kernel.shape[0]) != layer.units for node in readers):
        return "its units are not one input each"
    for node in [*reached, *readers]:
        if any(call not in reached and call not in readers for call in graph.calls(node.layer)):
            return f"'{node.layer.name}' behind it also reads another layer"
    return None


def _is_bypassed(graph: Graph, layer) -> bool:
    """Tells whether some path from an input to an output avoids `layer`."""
    waiting = [node for node in graph.nodes if not node.inputs]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node.layer is layer or id(node) in seen:
            continue
        seen.add(id(node))
        if graph.gives_output([node]):
            return True
        waiting += graph.readers_of([node])
    return False
