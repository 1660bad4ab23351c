"""Delivery of webhooks: the outbox that stores deliveries, the courier that posts them, and their faults.

This package imports only the basics of the sandbox. `api` queues events here. The routes that configure webhooks are in
`api.events`; the switches for tests are in `control`.
"""
