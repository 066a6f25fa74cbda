"""Detection of code that would run when a model configuration is loaded."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator

from tfunlearn.core.lazy import tf

CARRIERS = {  # Keras classes whose configuration contains or names a program
    "Lambda": "Python code",
    "__lambda__": "Python code",
    "TFSMLayer": "a SavedModel's program",
    "TorchModuleWrapper": "a pickled PyTorch module",
    "JaxLayer": "Python code",
    "FlaxLayer": "Python code",
}
VALUES = {  # markers of Keras for values without a JSON type
    "__tuple__",
    "__numpy__",
    "__tensor__",
    "__keras_tensor__",
    "__ellipsis__",
    "__bytes__",
    "__slice__",
    "__complex__",
}
FAMILIES = (
    "layers",
    "initializers",
    "regularizers",
    "constraints",
    "optimizers",
    "losses",
    "metrics",
    "activations",
)  # Keras modules whose members only compute
STRUCTURES = {
    "Functional",
    "Model",
    "Sequential",
    "DTypePolicy",
    "Policy",
    "SeedGenerator",
    "TFOpLambda",
    "SlicingOpLambda",
}
UNREAD = ("compile_config", "training_config")  # parts of a file that are never loaded here
SYMBOLS = (  # pure TensorFlow functions that a Keras 2 model may name
    "math.",
    "nn.",
    "linalg.",
    "image.",
    "signal.",
    "__operators__.",
    "abs",
    "add",
    "argmax",
    "argmin",
    "broadcast_to",
    "cast",
    "clip_by_value",
    "concat",
    "cos",
    "cumsum",
    "divide",
    "einsum",
    "equal",
    "exp",
    "expand_dims",
    "eye",
    "fill",
    "floor",
    "gather",
    "gather_nd",
    "greater",
    "greater_equal",
    "identity",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "matmul",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "pow",
    "range",
    "realdiv",
    "reduce_all",
    "reduce_any",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "repeat",
    "reshape",
    "reverse",
    "roll",
    "round",
    "shape",
    "sigmoid",
    "sign",
    "sin",
    "slice",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stop_gradient",
    "strided_slice",
    "subtract",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "transpose",
    "truediv",
    "unstack",
    "where",
    "zeros",
    "zeros_like",
    "compat.v1.gather",
    "compat.v1.nn.",
    "compat.v1.shape",
    "compat.v1.transpose",
    "keras.activations.",
    "keras.backend.",
)


def code_in(config, *, strict: bool = True) -> Iterator[tuple[str, str]]:
    """Yield name and kind of everything in a configuration that would run code on loading.

    Classes that the running program has registered with Keras are trusted.

    Args:
        config: JSON values, as stored in a model file.
        strict: whether to report names unknown to the Keras in use as well, since its loader would
            import them from any module named in the file; default True. The translation imports
            nothing.
    """
    waiting = [("", config)]
    while waiting:
        owner, value = waiting.pop()
        if isinstance(value, dict):
            name = value.get("class_name")
            if isinstance(name, str):
                inner = value.get("config")
                own = inner.get("name") if isinstance(inner, dict) else None
                owner = own if isinstance(own, str) else owner
                kind = _kind_of(name, value, strict)
                if kind:
                    yield owner or name, kind
            waiting += [(owner, each) for key, each in value.items() if key not in UNREAD]
        elif isinstance(value, list):
            waiting += [(owner, each) for each in value]


def _kind_of(name: str, value: dict, strict: bool) -> str:
    """Return the kind of code that an object of a configuration would run, or an empty string."""
    plain = re.split(r"[>.]", name)[-1]
    if plain in CARRIERS:
        return CARRIERS[plain] if plain[0] == "_" else f"a {plain} layer, {CARRIERS[plain]}"
    if plain.startswith("__"):
        return "" if plain in VALUES else f"an object of kind {plain}"
    if plain == "function":
        function = value.get("config")
        known = isinstance(function, str) and (
            _is_function(function) or _is_own(function) or _is_own(value.get("registered_name"))
        )
        return "" if known else f"the function {function}"
    if plain == "TFOpLambda":
        symbol = (value.get("config") or {}).get("function", "")
        return "" if _only_calculates(symbol) else f"TensorFlow's function {symbol}"
    if plain in STRUCTURES or _is_class(plain) or _is_operation(plain, value.get("module")):
        return ""
    if _is_own(name) or _is_own(value.get("registered_name")):
        return ""
    module = value.get("module")
    of_keras = not isinstance(module, str) or module.partition(".")[0] in ("keras", "tf_keras")
    if of_keras and not strict:
        return ""
    if of_keras and "module" not in value:
        return ""  # old files name only the class, which Keras looks up among its own classes
    return f"the object {name} of the Python module {module}"


def _is_class(name: str) -> bool:
    return any(
        inspect.isclass(getattr(getattr(tf.keras, family), name, None)) for family in FAMILIES
    )


def _is_function(name: str) -> bool:
    """Return whether Keras has an initializer, activation, loss, metric etc. of this name."""
    return name not in ("deserialize", "get", "serialize") and any(
        callable(getattr(getattr(tf.keras, family), name, None)) for family in FAMILIES[1:]
    )


def _is_operation(name: str, module) -> bool:
    """Return whether a name is one of Keras 3's operations on tensors."""
    if not isinstance(module, str) or not module.startswith("keras.src.ops."):
        return False
    found = getattr(sys.modules.get(module), name, None)
    return inspect.isclass(found) and any(
        parent.__name__ == "Operation" for parent in found.__mro__[1:]
    )


def _only_calculates(symbol) -> bool:
    return isinstance(symbol, str) and any(
        symbol.startswith(known) if known.endswith(".") else symbol == known for known in SYMBOLS
    )


def _is_own(name) -> bool:
    """Return whether the running program has registered an object of its own under this name."""
    found = tf.keras.utils.get_registered_object(name) if isinstance(name, str) else None
    module = getattr(found, "__module__", None) or ""
    return found is not None and module.partition(".")[0] not in ("keras", "tf_keras", "tensorflow")
