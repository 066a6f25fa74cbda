"""Reads all files of this folder with the Keras at hand and prints how many, writer by writer."""

import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402

from tfunlearn.models.files.stored import keras_name  # noqa: E402
from tfunlearn.models.saved import load_model  # noqa: E402

for folder in sorted(path for path in pathlib.Path(__file__).parent.iterdir() if path.is_dir()):
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".keras", ".h5")]
    read = 0
    for path in paths:
        known = np.load(path.with_suffix(".npz"))
        try:
            outputs = np.asarray(load_model(path)(known["images"], training=False))
            read += bool(np.allclose(outputs, known["outputs"], rtol=1e-6, atol=1e-6))
        except Exception as error:
            print(f"{path}: {error}")
    if paths:
        print(f"{keras_name()} reads {read} of {len(paths)} of {folder.name}", flush=True)
