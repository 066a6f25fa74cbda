"""Effect of each output channel on a probe, by fast exact ablation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import numpy as np

from tfunlearn.core.errors import UserError, require, require_whole
from tfunlearn.core.labels import require_labels
from tfunlearn.core.lazy import tf
from tfunlearn.models.outputs import classes_of
from tfunlearn.pruning.channels import channel_layers, named_layers
from tfunlearn.pruning.graph import Graph, arguments_of
from tfunlearn.unlearning.ablation import Steps

MEMORY = 2**30


class ChannelEffects(dict):
    """Layer name to effect of each channel, float64 `(channels,)`, in the order of the model.

    Attributes:
        losses: layer name to increase of the mean cross-entropy, float64 `(channels,)`.
        accuracy: accuracy of the whole model on the probe, H(M, I).
        examples: number of examples in the probe.
    """

    def __init__(self, effects: dict, losses: dict, accuracy: float, examples: int):
        super().__init__(effects)
        self.losses, self.accuracy, self.examples = losses, accuracy, examples

    @property
    def resolution(self) -> float:
        """The smallest possible difference between two unequal effects, 1 / examples."""
        return 1 / self.examples

    def ranked(self, layer: str) -> np.ndarray:
        """Return the channels of a layer, largest effect first.

        Ties are broken by the larger increase of cross-entropy, then by the lower index.
        """
        effect = self[layer]
        return np.lexsort((np.arange(len(effect)), -self.losses[layer], -effect))


def channel_effects(
    model: tf.keras.Model,
    probe_x: np.ndarray,
    probe_y: np.ndarray,
    *,
    parts: str = "filter",
    layers: Sequence[str] | None = None,
    memory: int = MEMORY,
    track: Callable[[Sequence], Iterable] = iter,
) -> ChannelEffects:
    """Return the effect of every output channel on the accuracy on a probe.

        effect[l][i] = H(M, I) - H(M without channel i of layer l, I)

    Each layer's input is computed once. A channel is zeroed in the layer's output, with a block of
    channels in one batch, and only the layers downstream run again. The result equals that of
    zeroing the channel's kernel and bias. Layers that are called more than once, layers upstream of
    anything that is not a plain Keras layer, and models with masks are ablated one channel at a
    time.

    Args:
        model: a built Sequential or functional Keras model that outputs class scores; unchanged.
        probe_x: features `(n, ...)`, see `core.features`; the method uses examples of the forget
            set.
        probe_y: their labels `(n,)`.
        parts: `"filter"` (default): the channel's slice of the kernel and its bias; a normalization
            layer after it then outputs a constant. `"filter+bn"`: its gamma and beta too, so that
            the normalization layer outputs zero.
        layers: names of the layers; default every Conv1D/2D/3D and Dense layer.
        memory: approximate memory limit in bytes; default 1 GiB.
        track: wraps the sequence of steps, to show progress.

    Returns:
        `ChannelEffects`: layer name to `(channels,)`, with attributes on the probe.

    Raises:
        UserError: no Conv or Dense layer, no plain layer graph, a layer called with
            `training=True`, an empty probe, or labels that do not match the probe.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation". The computation of the effects is this project's own.
    """
    graph = Graph.of(model)
    chosen = named_layers(channel_layers(graph, parts), layers)
    _require_inference(graph)
    probe_x, probe_y = np.asarray(probe_x), _check(model, probe_x, probe_y)
    require_whole("memory", memory, 1)
    steps = Steps(graph, chosen, parts, probe_x, probe_y, memory)
    correct = {layer.layer: np.zeros(layer.channels, np.int64) for layer in chosen}
    losses = {layer.layer: np.zeros(layer.channels) for layer in chosen}
    for rows, layer, channels in track(steps.plan):
        right, loss = steps.run(rows, layer, channels)
        correct[layer][channels] += right
        losses[layer][channels] += loss
    count = len(probe_y)
    return ChannelEffects(
        {name: (steps.correct - right) / count for name, right in correct.items()},
        {name: (loss - steps.loss) / count for name, loss in losses.items()},
        steps.correct / count,
        count,
    )


def _require_inference(graph: Graph) -> None:
    """Raise a `UserError` if a layer is called with a fixed `training=True`."""
    for node in graph.nodes:
        positional, named = arguments_of(node)
        if named.get("training") is True or (len(positional) > 1 and positional[1] is True):
            raise UserError(
                f"model: layer '{node.layer.name}' must run in inference mode too; it is called "
                "with training=True"
            )


def _check(model, probe_x: np.ndarray, probe_y: np.ndarray) -> np.ndarray:
    """Return the labels as int32; raise a `UserError` if the probe does not match the model."""
    shape = cast(
        tuple[int, ...],
        tuple(model.output_shape) if not isinstance(model.output_shape, list) else (),
    )
    require(
        "model",
        model.name,
        len(shape) == 2,
        "a model of one output (examples, classes)",
    )
    require("probe", len(probe_x), len(probe_x) > 0, "at least one example")
    return require_labels(
        probe_y, classes=classes_of(model), count=len(probe_x), field="probe labels"
    ).astype(np.int32)
