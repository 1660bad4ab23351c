"""A merchant's back-office for the Govineer/Govifi Payments API, as a Django app."""

__version__ = "0.1.0"
