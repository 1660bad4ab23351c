"""The REST face: what staff do in the admin, a program does here. Loaded only where ``govpay.urls`` is included."""
