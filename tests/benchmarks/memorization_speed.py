"""FedMemPrune's locate and reset for ResNet-18 with GroupNorm: seconds, and copies of the weights.

Run: .venv/bin/python tests/benchmarks/memorization_speed.py

Prints medians over repetitions of one process, the ratio to NumPy written down plainly (one stable
sort of everything in float64), and the peak memory of both steps, weights and update not counted,
as multiples of the weights; then the time of a Grouped Memorization Evaluation's scoring beside
that of the forward passes it consists of.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from timing import peak, seconds

import tfunlearn  # noqa: F401  (quiets TensorFlow)
from tfunlearn.evaluation import OutputsOf, gme_report, label_probabilities
from tfunlearn.models import build_model
from tfunlearn.unlearning import locate, reset

RATIO, REPEATS = 0.3, 5
IMAGES, RETRAINED = 400, 3


def case():
    """Returns the model, its weights and a random mean update."""
    model = build_model("resnet18", (32, 32, 3), 10, norm="group")
    weights, rng = model.get_weights(), np.random.default_rng(0)
    return (
        model,
        weights,
        [rng.standard_normal(w.shape, np.float32) * np.float32(1e-3) for w in weights],
    )


def both(model, weights, deltas, rule="layer"):
    masks = locate(weights, deltas, RATIO, model=model)
    return reset(weights, masks, rule=rule, seed=0, model=model)


def plain(weights, deltas):
    """The two steps as one would write them first, all arrays eligible."""
    score = np.abs(np.concatenate([d.ravel() for d in deltas]).astype(np.float64))
    mask = np.zeros(len(score), bool)
    mask[np.argsort(score, kind="stable")[: int(RATIO * len(score))]] = True
    rng, first, new = np.random.default_rng(0), 0, []
    for weight in weights:
        part = mask[first : first + weight.size].reshape(weight.shape)
        fresh = rng.uniform(-1, 1, weight.shape).astype(np.float32)
        new.append(np.where(part, fresh, weight))
        first += weight.size
    return new


def memory(rule: str) -> None:
    """Prints the peak memory of both steps over what was there before, in a process of its own."""
    model, weights, deltas = case()
    small = build_model("mlp", (8, 8, 1), 10)  # so that libraries are loaded before
    both(
        small,
        small.get_weights(),
        [
            w * 0 + 1e-3 * np.arange(w.size, dtype=np.float32).reshape(w.shape)
            for w in small.get_weights()
        ],
        rule,
    )
    stored = sum(weight.nbytes for weight in weights)
    before = peak()
    both(model, weights, deltas, rule)
    extra = peak() - before
    print(
        f"{rule:<18} weights {stored / 1e6:.0f} MB, peak {extra / 1e6:.0f} MB more: "
        f"{extra / stored:.2f} copies",
        flush=True,
    )


def scoring() -> None:
    """Prints the time of scoring and grading beside that of its forward passes."""
    model = build_model("resnet20", (32, 32, 3), 10, norm="group")
    rng, weights = np.random.default_rng(0), model.get_weights()
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    labels, outputs_of = rng.integers(0, 10, IMAGES), OutputsOf(model)
    outputs_of(images)

    def whole():
        outputs = [outputs_of(images, weights) for _ in range(RETRAINED + 1)]
        p = np.stack([label_probabilities(out, labels, from_logits=True) for out in outputs])
        hits = np.stack([out.argmax(axis=1) == labels for out in outputs])
        gme_report(p[0], p[1:], {}, hits[0], hits[1:])

    def one():
        outputs_of(images, weights)

    passes, pass_ = seconds(whole, REPEATS), seconds(one, REPEATS)
    print(
        f"scoring {IMAGES} images with {RETRAINED} retrained models (ResNet-20): {passes:.2f} s, "
        f"{passes / pass_:.2f} forward passes"
    )


def main() -> None:
    for rule in ("layer", "he_uniform_compat"):
        subprocess.run([sys.executable, __file__, rule], check=True)
    model, weights, deltas = case()
    print(f"{sum(w.size for w in weights):,} weights, ratio {RATIO}")
    reference = seconds(lambda: plain(weights, deltas), REPEATS)
    for rule in ("layer", "he_uniform_compat"):
        ours = seconds(lambda: both(model, weights, deltas, rule), REPEATS)
        print(f"{rule:<18} {ours:.2f} s  {ours / reference:.3f}x of plain NumPy")
    print(f"plain NumPy        {reference:.2f} s")
    scoring()


if __name__ == "__main__":
    memory(sys.argv[1]) if sys.argv[1:] else main()
