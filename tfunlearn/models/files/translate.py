"""Translation of a configuration of any Keras version into a model of the Keras in use.

Keras versions differ in how they store the graph of a model (nested lists, or arguments with
`keras_history`) and in the names of some layer settings. The graph is parsed in either form and
rebuilt layer by layer; settings known to both versions are renamed, and settings without effect
are dropped.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable
from typing import Any

from tfunlearn.core.lazy import tf

EMPTY = (None, False, "", [], {}, 0)  # values of settings without effect
SILENT = {  # settings of one Keras version that do not affect a layer's output
    "build_config",
    "batch_input_shape",
    "batch_shape",
    "input_length",
    "implementation",
    "use_cudnn",
    "flash_attention",
    "shared_object_id",
    "query_shape",
    "key_shape",
    "value_shape",
    "synchronized",
    "renorm_momentum",
    "renorm_clipping",
}
UNUSED: dict[str, set[str]] = dict.fromkeys(  # noqa: RUF024 (never changed)  classes with kernel settings inherited in one Keras version, but unused
    ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D"),
    {"kernel_initializer", "kernel_regularizer", "kernel_constraint", "filters"},
)
RENAMED = {  # class -> setting of one Keras version -> setting of the other
    "LeakyReLU": {"alpha": "negative_slope", "negative_slope": "alpha"},
}
ALIASES = {"OrthogonalInitializer": "Orthogonal", "IdentityInitializer": "Identity"}
OPERATORS = {  # TensorFlow function (Keras 2) or operation (Keras 3) -> Python function
    "__operators__.add": operator.add,
    "math.add": operator.add,
    "Add": operator.add,
    "math.subtract": operator.sub,
    "Subtract": operator.sub,
    "math.multiply": operator.mul,
    "Multiply": operator.mul,
    "math.truediv": operator.truediv,
    "TrueDivide": operator.truediv,
    "Divide": operator.truediv,
    "math.negative": operator.neg,
    "Negative": operator.neg,
    "nn.relu": lambda x: tf.keras.activations.relu(x),
    "Relu": lambda x: tf.keras.activations.relu(x),
}
DIFFERENT = ("hard_sigmoid",)  # functions that differ between Keras 2 and Keras 3
DEFAULTS = {  # setting of one Keras version -> values without effect
    "data_format": ("channels_last",),
    "groups": (1,),
    "fused": (True,),
}


class Untranslatable(Exception):
    """A configuration that the Keras in use cannot express; the message names layer and cause."""


def require_same_functions(config) -> None:
    """Raise `Untranslatable` if a configuration names a function that differs in Keras 2 and 3."""
    waiting = [("", config)]
    while waiting:
        owner, value = waiting.pop()
        if isinstance(value, str) and value in DIFFERENT:
            raise Untranslatable(
                f"layer '{owner}' has the function {value}, which is another one "
                "under Keras 2 than under Keras 3"
            )
        if isinstance(value, dict):
            owner = value.get("name") if isinstance(value.get("name"), str) else owner
            waiting += [(owner, each) for key, each in value.items() if key != "name"]
        elif isinstance(value, list):
            waiting += [(owner, each) for each in value]


def build(config: dict) -> tf.keras.Model:
    """Return the model of a configuration with newly initialized weights.

    Args:
        config: class name and configuration, JSON values of any Keras 2 or 3.

    Raises:
        Untranslatable: a layer, setting or call is unknown.
    """
    kind, inner = config["class_name"], config["config"]
    if kind == "Sequential":
        return _sequential(inner)
    if kind in ("Functional", "Model") and isinstance(inner, dict) and "layers" in inner:
        return _functional(inner)
    raise Untranslatable(f"the model is a {kind}, neither Sequential nor functional")


def _sequential(config) -> tf.keras.Model:
    entries = config["layers"] if isinstance(config, dict) else config
    name = config.get("name") if isinstance(config, dict) else None
    layers = []
    first = entries[0] if entries else {}
    shape = _shape_of(first)
    if shape is None and isinstance(config, dict):
        shape = config.get("build_input_shape")
    if first.get("class_name") == "InputLayer":
        entries = entries[1:]
        layers.append(_input(first["config"]))
    elif shape:
        layers.append(_input({"batch_shape": shape}))
    else:
        raise Untranslatable("the model does not say what shape it takes")
    made = [_layer(entry) for entry in entries]
    model = tf.keras.Sequential(layers + made, **({"name": name} if name else {}))
    _set_trainable(zip(made, entries))
    return model


def _functional(config: dict) -> tf.keras.Model:
    tensors: dict[tuple, list] = {}  # (layer name, number of the call) -> output tensors
    operators: set[str] = set()
    layers, entries = {}, {entry["name"]: entry for entry in config["layers"]}
    for name, entry in entries.items():
        if entry["class_name"] == "InputLayer":
            tensors[name, 0] = [_input(entry["config"])]
        elif _operator_of(entry) is not None:
            layers[name] = _operator_of(entry)
            operators.add(name)
        else:
            layers[name] = _layer(entry)
    calls = {name: entries[name].get("inbound_nodes") or () for name in layers}
    first = dict.fromkeys(layers, 0)  # Keras 2 counts the calls of a nested model from 1
    for name, call, _ in _references([*calls.values(), config["output_layers"]]):
        if name in layers:
            first[name] = max(first[name], call - len(calls[name]) + 1)
    waiting = [
        (name, number, call)
        for name in layers
        for number, call in enumerate(calls[name], start=first[name])
    ]
    while waiting:
        later = []
        for name, number, call in waiting:
            if any(reference[:2] not in tensors for reference in _references(call)):
                later.append((name, number, call))
                continue
            args, kwargs = _arguments(call, tensors)
            if name in operators:
                args, kwargs = (*args, *(each for key, each in kwargs.items() if key != "name")), {}
            try:
                given = layers[name](*args, **kwargs)
            except (TypeError, ValueError) as error:
                raise Untranslatable(f"layer '{name}' cannot be called as it was ({error})")
            tensors[name, number] = tf.nest.flatten(given)
        if len(later) == len(waiting):
            raise Untranslatable(f"the calls of layer '{later[0][0]}' form a circle")
        waiting = later
    ends = [_ends(config[key], tensors) for key in ("input_layers", "output_layers")]
    name = config.get("name")
    model = tf.keras.Model(*ends, **({"name": name} if name else {}))
    _set_trainable(
        (layer, entries[name]) for name, layer in layers.items() if name not in operators
    )
    return model


def _operator_of(entry: dict):
    """Return the Python function of an entry that is an operator on tensors, else None."""
    kind = entry["class_name"]
    if kind == "TFOpLambda":
        return OPERATORS.get((entry.get("config") or {}).get("function", ""))
    calls = entry.get("inbound_nodes") or [{}]
    is_operation = str(entry.get("module")).startswith("keras.src.ops.") or (
        "module" not in entry and isinstance(calls[0], dict) and len(calls[0].get("args", ())) > 1
    )
    return OPERATORS.get(kind) if is_operation else None


def _set_trainable(layers: Iterable[tuple[Any, dict]]) -> None:
    """Freeze the layers whose entries have `trainable` set to False.

    Called after the layers are built, since Keras 3.0 orders a model's weights by their
    trainability at that time.
    """
    for layer, entry in layers:
        if isinstance(entry["config"], dict) and entry["config"].get("trainable") is False:
            layer.trainable = False


def _input(config: dict):
    shape = tuple(_shape_of({"config": config}) or ())
    if not shape:
        raise Untranslatable(f"the input '{config.get('name')}' has no shape")
    for key in ("sparse", "ragged", "optional"):
        if config.get(key):
            raise Untranslatable(f"the input '{config.get('name')}' is {key}")
    return tf.keras.Input(
        shape[1:], batch_size=shape[0], dtype=_dtype(config.get("dtype")), name=config.get("name")
    )


def _shape_of(entry: dict):
    config = entry.get("config")
    if not isinstance(config, dict):
        return None
    return config.get("batch_shape") or config.get("batch_input_shape")


def _dtype(value) -> str | None:
    """Return the name of a dtype or dtype policy from any of its stored forms."""
    if isinstance(value, dict):
        value = (value.get("config") or {}).get("name")
    return value


def _layer(entry: dict):
    """Return the layer (or nested model) of an entry."""
    kind, config = entry["class_name"], entry["config"]
    if kind in ("Sequential", "Functional", "Model"):
        return build(entry)
    known = getattr(tf.keras.layers, kind, None)
    name = config.get("name", kind)
    if not (inspect.isclass(known) and issubclass(known, tf.keras.layers.Layer)):
        raise Untranslatable(f"layer '{name}' is a {kind}, which it does not have")
    try:
        return known(**_settings(known, kind, name, dict(config)))
    except Untranslatable:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise Untranslatable(f"layer '{name}' ({kind}) cannot be made ({error})")


def _settings(known: type, kind: str, name: str, config: dict) -> dict:
    """Return the settings of a layer under the names of the Keras in use."""
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = _dtype(config["dtype"])
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
        if len(config["axis"]) != 1:
            raise Untranslatable(f"layer '{name}' normalises over several axes")
        config["axis"] = config["axis"][0]
    accepted = _accepts(known)
    found = {}
    if "dtype" not in accepted and config.pop("dtype", None) not in (None, "float32"):
        raise Untranslatable(f"layer '{name}' ({kind}) computes in another dtype than float32")
    config.pop("trainable", None)  # set after the layer is built
    for key, value in config.items():
        if key not in accepted and key in RENAMED.get(kind, ()):
            key = RENAMED[kind][key]
        if key in accepted:
            found[key] = _value(key, value, name)
        elif not (
            key in SILENT
            or key in UNUSED.get(kind, ())
            or value in EMPTY
            or (key in DEFAULTS and value in DEFAULTS[key])
        ):
            raise Untranslatable(
                f"layer '{name}' ({kind}) has the setting {key}={value!r}, which it does not know"
            )
    return found


def _accepts(known: type) -> set[str]:
    """Return the constructor parameters of a class, including parents' parameters it passes on."""
    names = set()
    for parent in known.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(parent.__init__).parameters.values()
        names |= {
            each.name
            for each in parameters
            if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        }
        if parent is tf.keras.layers.Layer:
            names |= {"name", "trainable", "dtype"}
        if parent is tf.keras.layers.Layer or all(
            each.kind != each.VAR_KEYWORD for each in parameters
        ):
            break
    return names - {"self"}


def _value(key: str, value, name: str):
    """Return a setting, with initializers, layers and the like as objects."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    kind: str = value["class_name"]
    config = value.get("config") or {}
    kind = ALIASES.get(kind, kind)
    if kind in ("Sequential", "Functional", "Model"):
        return build({"class_name": kind, "config": config})
    if kind == "function" and isinstance(config, str):  # an activation by its name
        return config
    if kind == "__tuple__":
        return tuple(value["items"])
    for family in (
        tf.keras.initializers,
        tf.keras.regularizers,
        tf.keras.constraints,
        tf.keras.layers,
    ):
        known = getattr(family, kind, None)
        if inspect.isclass(known):
            if family is tf.keras.layers:
                return _layer({"class_name": kind, "config": config})
            accepted = set(inspect.signature(known.__init__).parameters)
            odd = {k: v for k, v in config.items() if k not in accepted and v not in EMPTY}
            if odd:
                raise Untranslatable(f"layer '{name}' has {key}={kind} with {odd}")
            return known(**{k: v for k, v in config.items() if k in accepted})
    raise Untranslatable(f"layer '{name}' has {key}={kind}, which it does not have")


def _is_reference(value) -> bool:
    """Return whether a Keras 2 value is a tensor reference: layer, call, output[, arguments]."""
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 4
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:3])
    )


def _is_history(value) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _reference(value) -> tuple[str, int, int]:
    name, call, output = (value["config"]["keras_history"] if _is_history(value) else value)[:3]
    return name, int(call), int(output)


def _references(value) -> list[tuple[str, int, int]]:
    """Return all tensor references in the arguments of a call."""
    if _is_history(value) or _is_reference(value):
        return [_reference(value)] + (
            _references(value[3]) if isinstance(value, list) and len(value) == 4 else []
        )
    each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for part in each for found in _references(part)]


def _arguments(call, tensors: dict) -> tuple[tuple, dict]:
    """Return the arguments of a layer's call."""
    if isinstance(call, dict):  # Keras 3
        args = tuple(_fill(value, tensors) for value in call["args"])
        kwargs = {key: _fill(value, tensors) for key, value in call.get("kwargs", {}).items()}
    else:  # Keras 2: a list of tensors; the first one carries the keyword arguments
        calls = [call] if _is_reference(call) else call
        inputs = [_tensor(value, tensors) for value in calls]
        args = (inputs[0] if len(inputs) == 1 else inputs,)
        kwargs = {
            key: _fill(value, tensors)
            for key, value in (calls[0][3] if len(calls[0]) > 3 else {}).items()
        }
    return args, {
        key: value
        for key, value in kwargs.items()
        if not (key in ("mask", "training") and value is None)
    }


def _fill(value, tensors: dict):
    if _is_history(value) or _is_reference(value):
        return _tensor(value, tensors)
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        return tuple(_fill(each, tensors) for each in value["config"].get("value", ()))
    if isinstance(value, dict):
        return {key: _fill(each, tensors) for key, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, tensors) for each in value]
    return value


def _tensor(value, tensors: dict):
    name, call, output = _reference(value)
    return tensors[name, call][output]


def _ends(value, tensors: dict):
    """Return the input or output tensors of a model: one, a list, or a mapping."""
    if _is_reference(value):
        return _tensor(value, tensors)
    if isinstance(value, dict):
        return {key: _ends(each, tensors) for key, each in value.items()}
    found = [_ends(each, tensors) for each in value]
    return found[0] if len(found) == 1 else found


def own_variables(layer) -> list:
    """Return the variables of a layer without its sublayers, in the order of `.keras` files."""
    if hasattr(layer, "_trainable_variables"):
        return [*layer._trainable_variables, *layer._non_trainable_variables]
    return [*layer._trainable_weights, *layer._non_trainable_weights]
