"""How far the logits move when unit pairs go: ours, the published orientation, controls.

Every way prunes the same share of all hidden Dense layers of the same nets; the figure is the mean
absolute change of a logit over test images. Writes a table (Markdown, CSV) and a plot.

    ours                  prune_pairs(): by impact
    ours, turned          the same pairs in the published orientation: the scored unit stays
    saliency              prune_pairs(score="saliency")
    saliency, turned      the same pairs in the published orientation
    published pruner      prune_pairs(compat="flap"): its own choice, orientation and surgery
    random pairs          any disjoint pairs, merged as ours, mean of 5 draws
    magnitude             units of least incoming l1 norm zeroed, nobody takes over
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import pathlib

import numpy as np

from tfunlearn.core.lazy import tf
from tfunlearn.datasets import load
from tfunlearn.evaluation import OutputsOf
from tfunlearn.models import build_model
from tfunlearn.models.saved import load_model
from tfunlearn.pruning import Pair, PairRecord, apply, explain, prune_pairs
from tfunlearn.pruning.counting import pair_count_of

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.3)
DRAWS = 5


def logits_net(model):
    """Returns the model without the softmax at its end."""
    if getattr(model.layers[-1], "activation", None) is tf.keras.activations.softmax:
        model.layers[-1].activation = tf.keras.activations.linear
    return model


def turned(records):
    """Returns the records with the units of every pair in each other's place."""
    return {
        name: dataclasses.replace(
            record,
            candidates=tuple(
                dataclasses.replace(pair, kept=pair.removed, removed=pair.kept)
                for pair in record.candidates
            ),
        )
        for name, record in records.items()
    }


def at_random(model, fraction: float, rng) -> None:
    records = {}
    for name, record in explain(model, 0, filters=False).items():
        if record.skipped is None:
            units = rng.permutation(record.units)[: 2 * pair_count_of(record.units, fraction)]
            pairs = tuple(Pair(int(i), int(j), 0.0) for i, j in units.reshape(-1, 2))
            records[name] = PairRecord(name, record.units, pairs)
    apply(model, records)


def by_magnitude(model, fraction: float) -> None:
    hidden = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Dense)]
    for layer in hidden[:-1]:
        kernel, bias = layer.get_weights()
        gone = np.argsort(np.abs(kernel).sum(axis=0))[: pair_count_of(len(bias), fraction)]
        kernel[:, gone] = bias[gone] = 0
        layer.set_weights([kernel, bias])


WAYS = {
    "ours": prune_pairs,
    "ours, turned": lambda model, share: apply(model, turned(explain(model, share, filters=False))),
    "saliency": lambda model, share: prune_pairs(model, share, score="saliency"),
    "saliency, turned": lambda model, share: apply(
        model, turned(explain(model, share, filters=False, score="saliency"))
    ),
    "published pruner": lambda model, share: prune_pairs(model, share, compat="flap"),
    "magnitude": by_magnitude,
}


def changes(model, images) -> dict[str, list[float]]:
    """Returns for every way the mean absolute logit change at each fraction."""
    outputs, weights = OutputsOf(model), model.get_weights()
    before = outputs(images)

    def change(prune) -> float:
        model.set_weights(weights)
        prune()
        return float(np.abs(outputs(images) - before).mean())

    found = {
        way: [change(lambda: prune(model, share)) for share in FRACTIONS]
        for way, prune in WAYS.items()
    }
    found["random pairs"] = [
        float(
            np.mean(
                [
                    change(lambda: at_random(model, share, np.random.default_rng(draw)))
                    for draw in range(DRAWS)
                ]
            )
        )
        for share in FRACTIONS
    ]
    model.set_weights(weights)
    return found


def trained(name: str, data, seed: int):
    """Returns a net of this package after five epochs of plain training."""
    tf.keras.utils.set_random_seed(seed)
    model = build_model(name, data.input_shape, data.classes, seed=seed)
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(
        data.features[:20000] / np.float32(255),
        data.labels[:20000],
        epochs=5,
        batch_size=64,
        verbose=0,
    )
    return model


def write_tables(folder: pathlib.Path, results: dict) -> None:
    rows = [[net, way, *values] for net, found in results.items() for way, values in found.items()]
    header = ["net", "way", *(f"{share:.0%}" for share in FRACTIONS)]
    with open(folder / "pair_quality.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [header, *([*row[:2], *(f"{v:.4f}" for v in row[2:])] for row in rows)]
        )
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for net, found in results.items():
        for way, values in found.items():
            print(f"| {net} | {way} | " + " | ".join(f"{v:.3f}" for v in values) + " |")


def draw(path: pathlib.Path, results: dict) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(results), 3.8), layout="constrained")
    for axes, (net, found) in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.items()
    ):
        for way, values in found.items():
            dashed = "turned" in way or "published" in way
            axes.plot(
                [100 * share for share in FRACTIONS],
                values,
                marker=".",
                label=way,
                lw=2.5 if way == "ours" else 1,
                ls="--" if dashed else "-",
            )
        axes.set(title=net, xlabel="units pruned, %", ylabel="mean |logit change|")
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="folder with MNIST in TFDS form")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a net for 28x28x1 images; may be repeated",
    )
    parser.add_argument("--out", default="docs", help="folder to write to (default docs)")
    arguments = parser.parse_args()
    data = load("mnist", arguments.data_dir)
    nets = {
        name: logits_net(load_model(path))
        for name, _, path in (text.partition("=") for text in arguments.model)
    }
    nets |= {f"LeNet-5, MNIST, seed {seed}": trained("lenet5", data, seed) for seed in range(3)}
    nets["MLP, MNIST, seed 0"] = trained("mlp", data, 0)
    results = {net: changes(model, data.test_features[:5000]) for net, model in nets.items()}
    write_tables(pathlib.Path(arguments.out), results)
    draw(pathlib.Path(arguments.out) / "pair_quality.png", results)


if __name__ == "__main__":
    main()
