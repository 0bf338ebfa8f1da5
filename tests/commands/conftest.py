"""What tests of commands share: what a command does to its process is undone."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Undo `configure_logging`: a command has its process for itself, a test has not."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    levels = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    logging.captureWarnings(False)
    for logger, level, handlers in levels:
        logger.setLevel(level)
        logger.handlers[:] = handlers
