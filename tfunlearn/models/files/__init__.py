"""Model files of any Keras version: inspection without running code, and loading."""
