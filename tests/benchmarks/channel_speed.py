"""Effects of all channels of ResNet-20 on 200 probes, against ablating one channel after the other.

Run: .venv/bin/python tests/benchmarks/channel_speed.py [--every N]

The plain ways zero a channel, measure the whole model on the probe, and put the channel back: by
`model.evaluate` as it comes, by `model.predict` on one batch, by calling the model, and by a
compiled function. They are run for every N-th channel (default 12; 1 takes minutes) and their time
is multiplied by N. Every accuracy is compared. Prints seconds and ratios from one process. What
lies behind the layers takes about a third of the multiplications of all these forward passes; the
rest of a ratio is overhead saved.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import tfunlearn  # noqa: F401  (quiets TensorFlow)
from tfunlearn.core.lazy import tf
from tfunlearn.models import build_model
from tfunlearn.unlearning import channel_effects

PROBES = 200


def one_at_a_time(model, accuracy_of, every):
    """Returns effects by (layer, channel), and the seconds that all channels would take."""
    kernels = (tf.keras.layers.Conv2D, tf.keras.layers.Dense)
    layers = [layer for layer in model.layers if isinstance(layer, kernels)]
    channels = [(layer, j) for layer in layers for j in range(layer.kernel.shape[-1])]
    base = accuracy_of()
    started, effects = time.perf_counter(), {}
    for layer, channel in channels[::every]:
        before = layer.get_weights()
        silent = [weight.copy() for weight in before]
        for weight in silent:
            weight[..., channel] = 0
        layer.set_weights(silent)
        accuracy = accuracy_of()
        layer.set_weights(before)
        effects[layer.name, channel] = base - accuracy
    return effects, (time.perf_counter() - started) * len(channels) / len(effects)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=12)
    every = parser.parse_args().every
    model = build_model("resnet20", (32, 32, 3), 10)
    images = np.random.default_rng(0).random((PROBES, 32, 32, 3)).astype(np.float32)
    labels = np.argmax(model(images, training=False), axis=1)
    channel_effects(model, images[:2], labels[:2])  # Keras and TensorFlow are warm
    started = time.perf_counter()
    found = channel_effects(model, images, labels)
    fast = time.perf_counter() - started
    print(f"all {sum(map(len, found.values()))} channels, {PROBES} probes: {fast:.1f} s")
    compiled = tf.function(lambda batch: model(batch, training=False))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    def share(outputs) -> float:
        return np.mean(np.argmax(outputs, axis=1) == labels)

    for name, accuracy_of in (
        ("model.evaluate", lambda: model.evaluate(images, labels, verbose=0)[1]),
        ("model.predict", lambda: share(model.predict(images, batch_size=PROBES, verbose=0))),
        ("model(...)", lambda: share(model(images, training=False).numpy())),
        ("compiled", lambda: share(compiled(images).numpy())),
    ):
        accuracy_of()
        effects, seconds = one_at_a_time(model, accuracy_of, every)
        different = sum(
            abs(found[layer][j] - effect) > 1e-6  # evaluate gives float32
            for (layer, j), effect in effects.items()
        )
        print(
            f"one at a time, {name}: {seconds:.1f} s, ratio {seconds / fast:.1f}; "
            f"{different} of {len(effects)} accuracies differ"
        )


if __name__ == "__main__":
    main()
