"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

import tfunlearn  # noqa: F401  (quiets TensorFlow before anything imports it)
from tfunlearn.core.clients import ClientSet

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # as runs do; modules use TensorFlow early


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=["tff", "tensorflow"], scope="session")
def engine(request):
    """Each engine, with what does its work; TFF where it is installed."""
    from tfunlearn.engines import choose_engine, tff_is_usable

    if request.param == "tff" and not tff_is_usable():
        pytest.skip("TensorFlow Federated is not installed")
    engine = choose_engine(request.param)
    with engine.at_work():
        yield engine


@pytest.fixture(scope="session")
def at_work():
    """What does the work of the default engine."""
    from tfunlearn.engines import choose_engine

    with choose_engine().at_work():
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The folder with MNIST and CIFAR-10 in TFDS form."""
    folder = SHARED / "tensorflow_datasets"
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}")
    return str(folder)


@pytest.fixture(scope="session")
def shared_models():
    """The folder with two nets trained by others."""
    folder = SHARED / "models"
    if not folder.is_dir():
        pytest.skip(f"no models at {folder}")
    return folder


@pytest.fixture
def small_clients(rng):
    """Three clients with 5, 8 and 3 images of 8x8x1 and labels 0 to 2."""
    images = rng.integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    return ClientSet(images, rng.integers(0, 3, 16).astype(np.int32), np.array([0, 5, 13, 16]))
