"""Pages and addresses for outsiders: webhook deliveries and the payment page."""
