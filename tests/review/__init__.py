"""Review queue."""
