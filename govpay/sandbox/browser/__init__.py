"""Routes that a payer's browser calls: the hosted page with its scripts (`static`), a session's routes, the card vault.

This package imports `api` and the basics of the sandbox, not `control`.
"""
