"""Federated models that are trained under attack, defended, and made to forget, with proof."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow when it is imported
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # and by what TensorFlow Federated talks through,
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # whose fork handlers abort new processes

__version__ = "0.1.0"
