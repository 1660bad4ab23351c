"""The platform's own routes and the rules behind them: tokens, tenants, customers, payments, refunds, sessions.

One module for each thing of the vendor's API, each with its `ROUTES`. This package imports the basics of the sandbox
and `webhooks` (to queue events). It imports neither `browser` nor `control`.
"""
