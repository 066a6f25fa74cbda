"""The table of bits in docs/engines.md, where a second interpreter with TensorFlow Federated is named.

TFUNLEARN_OTHER_PYTHON is that interpreter, with this package installed beside TFF and TensorFlow 2.14.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

OTHER = os.environ.get("TFUNLEARN_OTHER_PYTHON")
PROGRAM = str(pathlib.Path(__file__).parent / "one_update.py")
pytestmark = [
    pytest.mark.skipif(not OTHER, reason="TFUNLEARN_OTHER_PYTHON names no second interpreter"),
    pytest.mark.skipif(tf.__version__ < "2.16", reason="this is not the newer TensorFlow"),
]


@pytest.fixture(scope="module")
def updates(tmp_path_factory):
    """`(release) -> updates by model`, computed without oneDNN, whose kernels change with releases."""
    folder, found = tmp_path_factory.mktemp("updates"), {}
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    for name, python, engine in (
        ("tff", OTHER, "tff"),
        ("2.14", OTHER, "tensorflow"),
        ("newest", sys.executable, "tensorflow"),
    ):
        file = folder / f"{name}.npz"
        done = subprocess.run(
            [python, PROGRAM, engine, str(file)], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found[name] = dict(np.load(file))
    return found


@pytest.mark.parametrize("model", ["LeNet-5", "MLP"])
def test_without_norms_both_releases_of_tensorflow_give_equal_bits(updates, model):
    assert updates["2.14"][model].tobytes() == updates["newest"][model].tobytes()


@pytest.mark.parametrize(
    "one, other, model, largest",
    [
        ("tff", "2.14", "LeNet-5", 2e-6),
        ("tff", "2.14", "MLP", 2e-6),
        ("tff", "2.14", "ResNet-20, group norm", 2e-3),
        ("tff", "2.14", "ResNet-20, batch norm", 2e-3),
        ("2.14", "newest", "ResNet-20, group norm", 2e-3),
    ],
)
def test_elsewhere_last_bits_differ_by_less_than_a_step_of_adam(
    updates, one, other, model, largest
):
    a, b = updates[one][model], updates[other][model]
    assert np.abs(a).max() > 1e-3  # steps of 0.001
    np.testing.assert_allclose(a, b, rtol=0, atol=largest)


def test_batch_norm_differs_by_definition_between_the_two_keras(updates):
    """Keras 2's fused kernel keeps n / (n - 1) times the variance of a batch, Keras 3 the variance."""
    a, b = (updates[name]["ResNet-20, batch norm"] for name in ("2.14", "newest"))
    assert 1e-4 < np.abs(a - b).max() < 2e-2
