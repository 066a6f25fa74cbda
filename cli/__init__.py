"""The command line of tfunlearn: parse arguments, call the library, print results."""
