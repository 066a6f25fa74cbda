#!/usr/bin/env bash
# tensorflow 2.21.0 with keras 3.15.1, 2026-11-30 (tensorflow 2.14.1 with keras 2.14.0 behaves alike).
# Guess: an initializer with a seed makes a layer reproducible, and each weight of the layer gets draws of its own.
# Seen: MultiHeadAttention and Bidirectional clone the initializer with its seed, so that the kernels of query, key and
# value are equal to the bit, and so are those of the forward and the backward layer. Every attention score then
# begins as a product of a vector with itself. Without a seed in the initializer, and a global one from
# keras.utils.set_random_seed, the kernels differ and are reproducible as well.
# Needs python3.13 (or its path in PYTHON313). Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON313:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tensorflow==2.21.0" "keras==3.15.1" 2> /dev/null
"$folder/venv/bin/python" 2> /dev/null << 'PYTHON'
import keras
import numpy as np

layers = keras.layers


def kernels(seeded):
    """Return the kernels of attention (query, key, value) and of both directions of a GRU."""
    keras.utils.set_random_seed(3)
    initializer = keras.initializers.GlorotUniform(seed=1 if seeded else None)
    sequence = np.zeros((1, 5, 8), np.float32)
    attention = layers.MultiHeadAttention(2, 4, kernel_initializer=initializer)
    attention(sequence, sequence)
    both = layers.Bidirectional(layers.GRU(4, kernel_initializer=initializer))
    both(sequence)
    projections = [w.numpy() for w in attention.weights if w.path.endswith("kernel")][:3]
    return projections, [both.forward_layer.cell.kernel.numpy(), both.backward_layer.cell.kernel.numpy()]


def equal(arrays):
    return all(np.array_equal(arrays[0], array) for array in arrays[1:])


seeded, plain, again = kernels(True), kernels(False), kernels(False)
print("keras", keras.__version__)
print("one seed: query, key and value equal:", equal(seeded[0]), "| both directions equal:", equal(seeded[1]))
print("global seed: query, key and value equal:", equal(plain[0]), "| both directions equal:", equal(plain[1]))
reproducible = all(np.array_equal(a, b) for x, y in zip(plain, again) for a, b in zip(x, y))
print("global seed: the same again:", reproducible)
assert equal(seeded[0]) and equal(seeded[1]) and not equal(plain[0]) and not equal(plain[1]) and reproducible
PYTHON
