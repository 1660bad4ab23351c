"""Tests of the faults in ``docs/reliability.md``."""
