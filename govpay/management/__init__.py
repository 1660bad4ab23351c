"""The command line interface: ``manage.py govpay_…``."""
