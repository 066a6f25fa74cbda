"""Model files of any Keras: what is in them, without running any of it, and how to read it."""
