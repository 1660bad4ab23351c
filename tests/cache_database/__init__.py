"""A database backend for the cache table, without the checks of the main database."""
