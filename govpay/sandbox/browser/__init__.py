"""What a payer's browser calls: the hosted page, its scripts (`static`), a session's own routes and the card vault.

This package imports `api` and the basics of the sandbox, not `control`.
"""
