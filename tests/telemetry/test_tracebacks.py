"""Tracebacks tell where it happened, and nothing that users sent."""

import asyncpg
import pytest

from app.errors import BadUserInput, Unavailable
from app.telemetry.tracebacks import error_text, traceback_text


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Return an error that was raised."""
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("secret"), "ValueError: (its text may quote what users sent)"),
        (KeyError("secret"), "KeyError: (its text may quote what users sent)"),
        (ValueError(), "ValueError"),
        (BadUserInput("secret"), "app.errors.BadUserInput: (its text may quote what users sent)"),
        (Unavailable("retry later"), "app.errors.Unavailable: retry later"),
        (FileNotFoundError(2, "gone", "/a"), "FileNotFoundError: [Errno 2] gone: '/a'"),
        (
            asyncpg.InvalidTextRepresentationError('for type uuid: "se"cret"'),
            'asyncpg.exceptions.InvalidTextRepresentationError: for type uuid: "…"',
        ),
    ],
)
def test_an_error_is_told_by_its_kind_and_where_that_quotes_nothing_by_its_text(
    error: Exception, text: str
) -> None:
    assert error_text(error) == text


def test_causes_come_first_and_their_texts_are_no_other() -> None:
    told = traceback_text(raised(RuntimeError("secret"), raised(ConnectionError("refused"))))
    first, second = told.split("\nThe above exception was the direct cause")
    assert first.endswith("ConnectionError: refused\n")
    assert "in raised\n    raise error from cause" in second
    assert "secret" not in told


def test_groups_tell_their_errors_and_circles_and_depths_end() -> None:
    group = ExceptionGroup("secret", [ValueError("secret"), OSError("broken pipe")])
    assert "OSError: broken pipe" in traceback_text(group)
    assert "secret" not in traceback_text(group)
    one, other = ValueError(), ValueError()
    one.__context__, other.__context__ = other, one
    assert traceback_text(one).count("ValueError") == 2

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise NameError("at the end")

    try:
        deep(300)
    except NameError as error:
        told = traceback_text(error)
    assert "more …" in told
    assert len(told.splitlines()) < 150
