"""A database for tests that stands for a read replica: each read fails (``tests.routers``)."""
