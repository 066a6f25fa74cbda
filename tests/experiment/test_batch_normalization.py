"""Training of networks with BatchNormalization in a separate process, as on the command line."""

from __future__ import annotations

import subprocess
import sys


def test_a_process_that_imports_us_first_trains_batch_normalization(tmp_path):
    """TFF compiles here and runs in its worker: both need the same kernels (oneDNN or not)."""
    program = (
        "from tfunlearn.experiment import run_config, train\n"
        "run = train(run_config(model='resnet20', rounds=1, clients=2, train_examples=40,\n"
        f"    local_epochs=1), out={str(tmp_path / 'run')!r})\n"
        "print(run.metrics[-1]['round'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["1"]), done.stderr[-2000:]
