"""Remote to local: the only room that writes mirrored columns."""
