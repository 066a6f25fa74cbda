"""Model files of any Keras: what is in them, without running anything of them, and how to read it."""
