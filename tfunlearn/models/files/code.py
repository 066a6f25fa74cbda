"""What in a model's configuration would run code of the file when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from tfunlearn.core.lazy import tf

CARRIERS = {  # classes of Keras whose configuration is a program, or names one
    "Lambda": "Python code", "__lambda__": "Python code", "TFSMLayer": "a SavedModel's program",
    "TorchModuleWrapper": "a pickled PyTorch module", "JaxLayer": "Python code",
    "FlaxLayer": "Python code",
}
VALUES = {  # what Keras writes in the place of values that JSON has not
    "__tuple__", "__numpy__", "__tensor__", "__keras_tensor__", "__ellipsis__", "__bytes__",
    "__slice__", "__complex__"}
MODULES = ("keras", "tf_keras", "builtins", "tensorflow.keras")
SYMBOLS = (  # of TensorFlow's functions that a Keras 2 model may name: those that only calculate
    "math.", "nn.", "linalg.", "image.", "signal.", "__operators__.",
    "abs", "add", "argmax", "argmin", "broadcast_to", "cast", "clip_by_value", "concat", "cos",
    "cumsum", "divide", "einsum", "equal", "exp", "expand_dims", "eye", "fill", "floor", "gather",
    "gather_nd", "greater", "greater_equal", "identity", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "matmul", "maximum", "minimum", "multiply", "negative", "norm",
    "not_equal", "one_hot", "ones", "ones_like", "pad", "pow", "range", "realdiv", "reduce_all",
    "reduce_any", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum", "repeat",
    "reshape", "reverse", "roll", "round", "shape", "sigmoid", "sign", "sin", "slice", "split",
    "sqrt", "square", "squeeze", "stack", "stop_gradient", "strided_slice", "subtract", "tan",
    "tanh", "tensordot", "tile", "transpose", "truediv", "unstack", "where", "zeros", "zeros_like",
    "compat.v1.gather", "compat.v1.nn.", "compat.v1.shape", "compat.v1.transpose",
    "keras.activations.", "keras.backend.")


def code_in(config) -> Iterator[tuple[str, str]]:
    """Gives name and kind of everything in a configuration that would run code on loading.

    Classes that the program at hand has registered with Keras are its own and count as known.

    Args:
        config: JSON values, as a model file holds them.
    """
    waiting = [("", config)]
    while waiting:
        owner, value = waiting.pop()
        if isinstance(value, dict):
            name = value.get("class_name")
            if isinstance(name, str) and ("config" in value or name in CARRIERS):
                inner = value.get("config")
                own = inner.get("name") if isinstance(inner, dict) else None
                owner = own if isinstance(own, str) else owner
                kind = _kind_of(name, value)
                if kind:
                    yield owner or name, kind
            elif isinstance(name, str) and name.startswith("__") and name not in VALUES:
                yield owner or name, f"an object of kind {name}"
            waiting += [(owner, each) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(owner, each) for each in value]


def _kind_of(name: str, value: dict) -> str:
    """Returns what an object of a configuration would run; nothing for Keras' own classes."""
    registered = value.get("registered_name")
    if isinstance(registered, str) and _is_registered(registered) or _is_registered(name):
        return ""
    plain = name.rpartition(">")[2]
    if plain in CARRIERS:
        return f"a {plain} layer, {CARRIERS[plain]}" if plain[0] != "_" else CARRIERS[plain]
    if name.startswith("__") and name not in VALUES:
        return f"an object of kind {name}"
    if name in ("TFOpLambda", "SlicingOpLambda"):
        symbol = (value.get("config") or {}).get("function", "")
        if name == "TFOpLambda" and (not isinstance(symbol, str) or not _only_calculates(symbol)):
            return f"TensorFlow's function {symbol}"
        return ""
    module = value.get("module")
    if isinstance(module, str) and module and not any(
            module == known or module.startswith(known + ".") for known in MODULES):
        return f"the class {name} of the Python module {module}"
    return ""


def _only_calculates(symbol: str) -> bool:
    return any(
        symbol.startswith(known) if known.endswith(".") else symbol == known for known in SYMBOLS)


def _is_registered(name: str) -> bool:
    """Tells whether the program has made a class known to Keras under this name."""
    return tf.keras.utils.get_registered_object(name) is not None
