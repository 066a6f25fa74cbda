"""Model inversion: images that a model assigns to a class, found without any data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.lazy import tf
from tfunlearn.models.outputs import classes_of, scores_of


@dataclass(frozen=True)
class Inversion:
    """Result of a model inversion.

    Attributes:
        image: float32 `(height, width, channels)` in [0, 1].
        cost: 1 - p(class) of the image.
        steps: number of steps until the search ended.
    """

    image: np.ndarray
    cost: float
    steps: int


def invert_class(
    model: tf.keras.Model,
    label: int,
    *,
    from_logits: bool,
    steps: int = 1000,
    rate: float = 0.1,
    patience: int = 100,
    goal: float = 0.01,
    start: np.ndarray | None = None,
) -> Inversion:
    """Find an image that the model assigns to a class, by gradient descent on 1 - p(class).

    The search ends after `steps` steps, when the cost has not fallen for `patience` steps, or when
    the cost reaches `goal`. The image of lowest cost is returned.

    Deviation: the learning rate applies to gradients normalized to unit length, since the gradient
    vanishes when the softmax is certain of another class; rate and steps are chosen for images in
    [0, 1]. Where the gradient is zero on a black image (units that are dead there), the search
    starts from a gray image, or else from noise.

    Args:
        model: a built Keras model with one output `(1, classes)`.
        label: the class.
        from_logits: whether its outputs are logits, not probabilities.
        steps: maximum number of steps; default 1000.
        rate: length of a step; default 0.1.
        patience: steps without improvement after which the search ends; default 100.
        goal: cost at which the search ends; default 0.01.
        start: initial image; default the first of black, gray and noise with a nonzero gradient.

    Reference:
        Fredrikson et al., "Model Inversion Attacks that Exploit Confidence Information and Basic
        Countermeasures" (CCS 2015), algorithm MI-Face.
    """
    shape = tuple(model.inputs[0].shape[1:])
    classes, scores = classes_of(model), scores_of(model)
    require("label", label, 0 <= label < classes, f"a class of the model, from 0 to {classes - 1}")
    starts = (
        [np.zeros(shape), np.full(shape, 0.5), np.random.default_rng(0).random(shape)]
        if (start is None)
        else [start]
    )
    image = tf.Variable(tf.zeros((1, *shape)))

    @tf.function(autograph=False, reduce_retracing=True)
    def step():
        with tf.GradientTape() as tape:
            outputs = scores(image, False)
            log_p = (
                tf.nn.log_softmax(outputs)
                if from_logits
                else tf.math.log(tf.maximum(outputs, 1e-30))
            )[0, label]
            loss = -log_p  # decreases with 1 - p, and has a gradient where p is 0
        gradient = tape.gradient(loss, image)
        return 1 - tf.exp(log_p), gradient / tf.maximum(tf.norm(gradient), 1e-12)

    for begin in starts:
        image.assign(begin[None].astype(np.float32))
        cost, direction = step()
        if np.any(direction) or cost <= goal:
            break
    best, best_cost, since = image.numpy(), np.inf, 0
    for done in range(steps + 1):
        cost, direction = step()
        since += 1
        if float(cost) < best_cost:
            best, best_cost, since = image.numpy(), float(cost), 0
        if best_cost <= goal or since >= patience or done == steps:
            break
        image.assign(tf.clip_by_value(image - rate * direction, 0.0, 1.0))
    return Inversion(best[0], best_cost, done)
