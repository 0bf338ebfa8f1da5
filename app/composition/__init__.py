"""The composition root: the only place that knows every part."""

from app.composition.application import Application, create_app

__all__ = ["Application", "create_app"]
