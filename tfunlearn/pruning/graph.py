"""Finds, by class and by the graph, the layers of a Keras model that can be pruned."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import tf

_ELEMENTWISE = ("Activation", "ActivityRegularization", "AlphaDropout", "Dropout", "ELU",
                "GaussianDropout", "GaussianNoise", "LeakyReLU", "PReLU", "ReLU",
                "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "ThresholdedReLU")
_SPATIAL = ("AveragePooling", "Cropping", "MaxPooling", "UpSampling", "ZeroPadding")
_NORMS = ("BatchNormalization", "GroupNormalization", "LayerNormalization")
_LEFT_ALONE = {
    "DepthwiseConv1D": "depthwise convolution", "DepthwiseConv2D": "depthwise convolution",
    "SeparableConv1D": "separable convolution", "SeparableConv2D": "separable convolution",
    "Conv1DTranspose": "transposed convolution", "Conv2DTranspose": "transposed convolution",
    "Conv3DTranspose": "transposed convolution",
}


@dataclass(frozen=True)
class Site:
    """One prunable layer; all numbers are positions in `model.get_weights()`.

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


@dataclass(frozen=True)
class Graph:
    """Who reads whom in a model, and where each weight lies in `model.get_weights()`."""

    model: object
    consumers: dict[int, list] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: tf.keras.Model) -> Graph:
        """Reads the graph of `model`.

        Raises:
            UserError: the model is not built, has no layer graph (subclassed), or nests another.
        """
        if not model.built or not (hasattr(model, "inputs") and model.inputs):
            raise UserError(
                f"model: '{model.name}' has no layer graph; allowed are built Sequential and "
                "functional models")
        for layer in model.layers:
            if isinstance(layer, tf.keras.Model):
                raise UserError(
                    f"model: layer '{layer.name}' is itself a model; nested models are not "
                    "pruned, flatten it into the outer model first")
        own = {id(layer) for layer in model.layers}
        consumers = {}
        for layer in model.layers:
            readers = {id(node.layer): node.layer for node in layer.outbound_nodes}
            consumers[id(layer)] = [r for key, r in readers.items() if key in own]
        return cls(model, consumers, {id(w): n for n, w in enumerate(model.weights)})

    def position(self, weight) -> int | None:
        """Returns where `weight` lies in `model.get_weights()`; None for None."""
        return None if weight is None else self.positions[id(weight)]

    def filter_sites(self, include_residual: bool = True) -> list[Site]:
        """Returns a site for every convolution, in the order of the layers."""
        return [self._filter_site(layer, include_residual) for layer in self.model.layers
                if _is_conv(layer) or _left_alone(layer)]

    def pair_sites(self) -> list[Site]:
        """Returns a site for every Dense layer, in the order of the layers."""
        return [self._pair_site(layer) for layer in self.model.layers if _is_dense(layer)]

    def _filter_site(self, layer, include_residual: bool) -> Site:
        if not _is_conv(layer):
            return Site(layer.name, int(layer.weights[0].shape[-1]), skipped=_left_alone(layer))
        if not self.consumers[id(layer)]:
            return Site(layer.name, layer.filters, skipped="output layer")
        if not include_residual and self._is_bypassed(layer):
            return Site(layer.name, layer.filters, skipped="inside a residual block")
        followers = [entry for reader in self._readers_through(layer)
                     for entry in self._norm_entries(reader)]
        if any(self.model.weights[entry].shape != (layer.filters,) for entry in followers):
            return Site(layer.name, layer.filters,
                        skipped="the normalisation behind it is not one channel a filter")
        return Site(layer.name, layer.filters, self.position(layer.kernel),
                    self.position(layer.bias), tuple(followers))

    def _pair_site(self, layer) -> Site:
        norms, readers = [], []
        waiting = list(self.consumers[id(layer)])
        if not waiting:
            return Site(layer.name, layer.units, skipped="output layer")
        while waiting:
            reader = waiting.pop(0)
            kind = type(reader).__name__
            if _is_dense(reader):
                readers.append(reader)
            elif (kind in _ELEMENTWISE + _NORMS or kind == "Flatten") and self.consumers[
                    id(reader)]:
                norms += self._norm_entries(reader)
                waiting += self.consumers[id(reader)]
            else:
                return Site(layer.name, layer.units,
                            skipped=f"read by '{reader.name}' ({kind}), not by a Dense layer")
        if any(int(reader.kernel.shape[0]) != layer.units for reader in readers):
            return Site(layer.name, layer.units, skipped="its units are not one input each")
        outgoing = tuple(dict.fromkeys(self.position(reader.kernel) for reader in readers))
        return Site(layer.name, layer.units, self.position(layer.kernel),
                    self.position(layer.bias), tuple(norms), outgoing)

    def _readers_through(self, layer) -> list:
        """Returns who reads the channels of `layer`, also behind layers that keep zeros zero."""
        found, waiting = [], list(self.consumers[id(layer)])
        while waiting:
            reader = waiting.pop(0)
            found.append(reader)
            if type(reader).__name__ in _ELEMENTWISE or _keeps_channels(reader):
                waiting += self.consumers[id(reader)]
        return found

    def _norm_entries(self, layer) -> list[int]:
        """Zeroing these makes a normalisation emit zero for a channel that is zero.

        Without gamma a BatchNormalization emits -mean / deviation, so its mean goes too.
        """
        if type(layer).__name__ not in _NORMS:
            return []
        weights = [getattr(layer, "gamma", None), getattr(layer, "beta", None)]
        if weights[0] is None:
            weights.append(getattr(layer, "moving_mean", None))
        return [self.position(weight) for weight in weights if weight is not None]

    def _is_bypassed(self, layer) -> bool:
        """Tells whether some path from an input to an output avoids `layer`."""
        readers = {id(r) for group in self.consumers.values() for r in group}
        waiting = [other for other in self.model.layers
                   if id(other) not in readers and other is not layer]
        seen = set()
        while waiting:
            current = waiting.pop()
            if not self.consumers[id(current)]:
                return True
            for reader in self.consumers[id(current)]:
                if reader is not layer and id(reader) not in seen:
                    seen.add(id(reader))
                    waiting.append(reader)
        return False


def _keeps_channels(layer) -> bool:
    return type(layer).__name__.startswith(_SPATIAL) and "Global" not in type(layer).__name__


def _is_conv(layer) -> bool:
    keras = tf.keras.layers
    return isinstance(layer, (keras.Conv1D, keras.Conv2D, keras.Conv3D)) and not _left_alone(layer)


def _is_dense(layer) -> bool:
    return isinstance(layer, tf.keras.layers.Dense)


def _left_alone(layer) -> str | None:
    for kind in type(layer).__mro__:
        if kind.__name__ in _LEFT_ALONE:
            return f"{_LEFT_ALONE[kind.__name__]}, left alone"
    return None
