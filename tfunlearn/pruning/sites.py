"""Prunable layers of a model, found by class and graph, and the weights that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from tfunlearn.core.errors import UserError, nearest, require
from tfunlearn.pruning.graph import Graph, Node
from tfunlearn.pruning.intervals.activations import mixes_units
from tfunlearn.pruning.layer_types import (
    ELEMENTWISE,
    NORMS,
    SUMS,
    has_other_kernel,
    is_conv,
    is_dense,
    kind_of,
    left_alone,
)
from tfunlearn.pruning.norms import (
    channel_axis,
    is_channels_first,
    norm_axis,
    norm_entries,
    norms_behind,
)


@dataclass(frozen=True)
class Site:
    """One layer that may be pruned; all numbers are positions in `model.get_weights()`.

    Attributes:
        layer: name of the layer.
        units: number of filters or units.
        kernel: its kernel, output channel last.
        bias: its bias, or None.
        followers: weights of the following normalization that are zeroed with a channel.
        outgoing: kernels of the Dense layers that read the units (pairs only), units first.
        skipped: reason why the layer is not pruned, or None.
    """

    layer: str
    units: int
    kernel: int = -1
    bias: int | None = None
    followers: tuple[int, ...] = ()
    outgoing: tuple[int, ...] = ()
    skipped: str | None = None


def filter_sites(graph: Graph, *, include_residual: bool = True) -> list[Site]:
    """Return a site for every convolution, in layer order."""
    return [
        _filter_site(graph, layer, include_residual)
        for layer in graph.layers.values()
        if is_conv(layer) or left_alone(layer)
    ]


def pair_sites(graph: Graph) -> list[Site]:
    """Return a site for every Dense layer, in layer order."""
    return [_pair_site(graph, layer) for layer in graph.layers.values() if is_dense(layer)]


def chosen_sites(sites: Sequence[Site], layers: Sequence[str] | None) -> list[Site]:
    """Return the sites, with those not named in `layers` marked as skipped.

    Raises:
        UserError: a name is not among the sites, or its layer cannot be pruned.
    """
    if layers is None:
        return list(sites)
    require(
        "layers",
        layers,
        not isinstance(layers, str) and isinstance(layers, Iterable),
        "a list of layer names",
    )
    layers, known = list(layers), {site.layer: site for site in sites}
    for name in layers:
        if name not in known:
            raise UserError(
                f"layers: no prunable layer '{name}'{nearest(name, known)} "
                f"(known: {', '.join(known) or 'none'})"
            )
        if known[name].skipped:
            raise UserError(f"layers: '{name}' cannot be pruned ({known[name].skipped})")
    return [
        site if site.layer in layers or site.skipped else replace(site, skipped="not named")
        for site in sites
    ]


def require_prunable(graph: Graph, sites: Sequence[Site], what: str) -> None:
    """Raise a `UserError` with the reasons unless at least one site can be pruned."""
    if all(site.skipped for site in sites):
        reasons = "; ".join(f"{site.layer}: {site.skipped}" for site in sites[:4])
        raise UserError(
            f"model: '{graph.model.name}' has no layer with {what} to prune"
            f" ({reasons or 'no layer of that kind'})"
        )


def _filter_site(graph: Graph, layer, include_residual: bool) -> Site:
    calls = graph.calls(layer)
    filters = _channels_of(layer, calls)
    reason = left_alone(layer) or unlike_its_class(graph, layer, calls)
    if reason is None and graph.gives_output(calls):
        reason = "output layer"
    if reason is None and not include_residual and _is_bypassed(graph, calls):
        reason = "inside a residual block"
    norms = [] if reason else norms_behind(graph, calls)
    if any(norm_axis(node) != channel_axis(layer, node) for node in norms):
        reason = "the normalisation behind it is not one channel a filter"
    if reason:
        return Site(graph.name_of(layer), filters, skipped=reason)
    followers = [entry for node in norms for entry in norm_entries(graph, node.layer)]
    return Site(
        graph.name_of(layer),
        filters,
        graph.position(layer.kernel),
        graph.position(layer.bias),
        tuple(dict.fromkeys(followers)),
    )


def _channels_of(layer, calls: Sequence[Node]) -> int:
    if calls:
        return cast(int, calls[0].shape[0 if is_channels_first(layer) else -1])
    return int(getattr(layer, "filters", None) or layer.weights[0].shape[-1])


def unlike_its_class(graph: Graph, layer, calls: Sequence[Node]) -> str | None:
    """Return the reason why a layer does not compute what its class does, or None."""
    if id(layer) in graph.hidden:
        return graph.hidden[id(layer)]
    if has_other_kernel(layer):
        return "its kernel is quantised or adapted (LoRA)"
    if not kind_of(layer):
        return f"its class {type(layer).__name__} computes something of its own"
    if not calls:
        return "does not lead to an output"
    if any(not node.kind for node in calls):
        return "called with more than its input"
    return None


def _pair_site(graph: Graph, layer) -> Site:
    calls = graph.calls(layer)
    reason = unlike_its_class(graph, layer, calls)
    path, readers = [], []
    if reason is None:
        path, readers, reason = _towards_dense(graph, calls)
    for node in [*calls, *path]:
        if graph.gives_output([node]):
            reason = "output layer"
        elif mixes_units(getattr(node.layer, "activation", None)):
            reason = reason or f"the softmax of '{node.layer.name}' mixes its units"
        elif node.kind == "BatchNormalization" and norm_axis(node) != len(node.shape):
            reason = reason or f"'{node.layer.name}' normalises another axis"
    if not readers:
        reason = reason or "does not lead to an output"
    reason = reason or _shared_or_folded(graph, layer, calls, path, readers)
    if reason:
        return Site(graph.name_of(layer), layer.units, skipped=reason)
    norms = [
        entry for node in path if node.kind in NORMS for entry in norm_entries(graph, node.layer)
    ]
    outgoing = tuple(dict.fromkeys(graph.position(node.layer.kernel) for node in readers))
    return Site(
        graph.name_of(layer),
        layer.units,
        graph.position(layer.kernel),
        graph.position(layer.bias),
        tuple(dict.fromkeys(norms)),
        outgoing,
    )


def _towards_dense(graph: Graph, calls) -> tuple[list[Node], list[Node], str | None]:
    """Return the nodes passed on the way to Dense layers, the Dense nodes, and an obstacle."""
    path, readers, waiting = [], [], graph.readers_of(calls)
    while waiting:
        node = waiting.pop(0)
        name = graph.name_of(node.layer)
        if node.kind == "Dense":
            readers.append(node)
        elif node.kind in ELEMENTWISE or node.kind in ("BatchNormalization", "Flatten"):
            if node not in path:
                path.append(node)
                waiting += graph.readers_of([node])
        elif node.kind in NORMS:
            return path, readers, f"the {node.kind} '{name}' mixes its units"
        else:
            return (
                path,
                readers,
                (f"read by '{name}' ({type(node.layer).__name__}), not by a Dense layer"),
            )
    return path, readers, None


def _shared_or_folded(graph: Graph, layer, calls, path, readers) -> str | None:
    """Return the reason why the units cannot be removed from the layers that read them, or None."""
    if any(int(node.layer.kernel.shape[0]) != layer.units for node in readers):
        return "its units are not one input each"
    for group in (path, readers):
        for node in group:
            if any(call not in group for call in graph.calls(node.layer)):
                return f"'{node.layer.name}' behind it also reads another layer"
    waiting, seen = list(readers), set()
    while waiting:
        node = waiting.pop()
        if node in calls:
            return "its units feed back into it"
        if id(node) not in seen:
            seen.add(id(node))
            waiting += graph.readers_of([node])
    return None


def _is_bypassed(graph: Graph, calls: Sequence[Node]) -> bool:
    """Return whether a sum after the calls also reads a path that bypasses them."""
    behind = _reachable(graph, graph.readers_of(calls), ())
    sums = [node for node in behind if node.kind in SUMS]
    givers = {tensor: node for node in graph.nodes for tensor in node.outputs}
    before, waiting = [], [givers[tensor] for node in calls for tensor in node.inputs]
    while waiting:
        node = waiting.pop()
        if node not in before:
            before.append(node)
            waiting += [givers[tensor] for tensor in node.inputs]
    past = _reachable(graph, before, calls)
    return any(
        givers[tensor] in past and givers[tensor] not in behind
        for node in sums
        for tensor in node.inputs
    )


def _reachable(graph: Graph, starts: Sequence[Node], closed: Sequence[Node]) -> list[Node]:
    """Return `starts` and all nodes after them, on paths that avoid `closed`."""
    found, waiting = [], list(starts)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in closed:
            found.append(node)
            waiting += graph.readers_of([node])
    return found
