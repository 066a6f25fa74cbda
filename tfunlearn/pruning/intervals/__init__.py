"""Interval arithmetic through Keras models: bounds of activations and of their changes."""
