"""What must happen when things go wrong, row by row of the list of faults."""
