"""Protection of secrets and against hostile input: tracebacks, encryption, headers, CSV."""
