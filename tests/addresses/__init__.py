"""URLs of sites whose paths begin with a language."""
