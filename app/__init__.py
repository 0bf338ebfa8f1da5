"""Widgetwire: the realtime backend for interactive-video widgets."""

__all__ = ["__version__"]

__version__ = "0.1.0"
