"""A database for tests that stands for a read replica: whoever reads it fails (``tests.routers``)."""
