"""The command line of tfunlearn: parses, calls the library, prints."""
