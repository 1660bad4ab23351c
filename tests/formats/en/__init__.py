"""English of that host."""
