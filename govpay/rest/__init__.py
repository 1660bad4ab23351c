"""The REST interface: programs carry out the same actions as staff. Imported only if ``govpay.urls`` is included."""
