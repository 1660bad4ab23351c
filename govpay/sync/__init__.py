"""The sync: reads the platform into the local copy. Only this package writes mirrored columns."""
