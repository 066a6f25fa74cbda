"""What an upload shows of a client's image: all of the gradient, or the channels of a partial one.

Run: .venv/bin/python tests/benchmarks/gradient_inversion.py OUT [--images N] [--steps N]

Xu et al., "Update Selective Parameters" (section 6.4), claim that uploads of ablation-channel
unlearning, which hold the selected channels alone, give less away. LeNet-5 on the embedded digits,
sigmoid in the place of ReLU and untrained weights (easiest for the attacker), and as trained for 20
epochs; channels are those that `--method ablation-channel` selects for class 1. Prints the mean
peak signal-to-noise ratio of the rebuilt images, in decibels, and draws them into OUT.png.
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow as tf

import tfunlearn  # noqa: F401  (quiets TensorFlow)
from tfunlearn.core.features import to_unit_range
from tfunlearn.datasets import load
from tfunlearn.models import build_model
from tfunlearn.pruning.channels import channel_layers, masks_of
from tfunlearn.report.figures import save_figure
from tfunlearn.unlearning import channel_effects, select_channels
from tfunlearn.verification import gradient_of, invert_gradient, peak_signal_to_noise
from tfunlearn.workflows.verify.central import CentralTraining

SHARES = (1.0, 0.5, 0.2, 0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    asked = parser.parse_args()
    data, shown = load("digits"), {}
    rows = np.flatnonzero(data.labels == 1)[: asked.images]
    images = np.asarray(to_unit_range(data.features[rows]))
    for title in ("untrained", "trained"):
        tf.keras.utils.set_random_seed(0)
        model = build_model("lenet5", data.input_shape, data.classes, seed=0)
        for layer in model.layers:
            if hasattr(layer, "activation") and layer is not model.layers[-1]:
                layer.activation = tf.keras.activations.sigmoid
        if title == "trained":
            central = CentralTraining(model, optimizer="adam", lr=3e-3, batch_size=32)
            for _ in central.steps(
                model.get_weights(), data.features, data.labels, seed=0, epochs=20
            ):
                pass
        effects = channel_effects(
            model,
            data.features[data.labels == 1][:100],
            data.labels[data.labels == 1][:100],
            parts="filter+bn",
        )
        for share in SHARES:
            rebuilt = attacked(model, images, masks(model, effects, share), asked.steps)
            quality = float(peak_signal_to_noise(images, rebuilt).mean())
            print(
                f"{title:<10} upload {share:>4.0%} of the channels: {quality:5.1f} dB", flush=True
            )
            shown[f"{title}\n{share:.0%}: {quality:.1f} dB"] = rebuilt
    draw(asked.out, images, shown)


def masks(model, effects, share: float) -> list[np.ndarray] | None:
    """Returns which entries of the trainable weights are sent, None for all of them."""
    if share == 1:
        return None
    chosen = select_channels(effects, share)
    every = masks_of(
        channel_layers(model, "filter+bn"), chosen, [weight.shape for weight in model.get_weights()]
    )
    return [mask for mask, weight in zip(every, model.weights) if weight.trainable]


def attacked(model, images: np.ndarray, sent, steps: int) -> np.ndarray:
    """Returns what the attack makes of each image's gradient."""
    found = []
    for number, image in enumerate(images):
        label = np.array([1])
        gradient = gradient_of(model, image[None], label, from_logits=True)
        found.append(
            invert_gradient(
                model,
                gradient,
                label,
                rng=np.random.default_rng(number),
                from_logits=True,
                masks=sent,
                steps=steps,
            ).images[0]
        )
    return np.stack(found)


def draw(path: str, images: np.ndarray, shown: dict) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.3 * (len(shown) + 1), 1.3 * len(images) + 0.6), layout="constrained")
    axes = figure.subplots(len(images), len(shown) + 1, squeeze=False)
    for column, (title, found) in enumerate({"client's": images, **shown}.items()):
        axes[0, column].set_title(title, fontsize="small")
        for row, image in enumerate(found):
            axes[row, column].imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
            axes[row, column].axis("off")
    save_figure(figure, f"{path}.png")


if __name__ == "__main__":
    main()
