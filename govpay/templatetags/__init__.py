"""Template tags of the app: ``{% load govpay %}``."""
