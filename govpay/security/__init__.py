"""What keeps secrets and hostile texts in: tracebacks, encryption, headers, CSV."""
