"""`make bench`: times as shares of a yardstick, memory and start-up, measured side by side."""
