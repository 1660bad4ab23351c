"""Public views without a login: the webhook receiver and the payment pages."""
