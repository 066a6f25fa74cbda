"""The engine on TensorFlow alone: clients side by side in threads of this process."""

from tfunlearn.engines.tensorflow.engine import TensorFlowEngine

__all__ = ["TensorFlowEngine"]
