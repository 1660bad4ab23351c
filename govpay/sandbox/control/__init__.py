"""How tests and demos control the platform: the `/_sandbox` routes, faults, time, direct changes and the demo city.

This package imports `api`, `browser` and `webhooks`; none of them imports it.
"""
