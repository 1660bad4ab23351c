"""The demo site: govpay mounted in a small Django project."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
