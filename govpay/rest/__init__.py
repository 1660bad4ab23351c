"""The REST interface: programs do here what staff do in the admin. Imported only if ``govpay.urls`` is included."""
