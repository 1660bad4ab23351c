"""Controls for tests and demos: the `/_sandbox` routes, faults, time, direct changes of objects, the demo city.

This package imports `api`, `browser` and `webhooks`; none of them imports it.
"""
