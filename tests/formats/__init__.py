"""Number and date formats of a host (``FORMAT_MODULE_PATH``) that differ from everything that is usual."""
