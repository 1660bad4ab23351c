"""The demo site: a small Django project with govpay installed."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
