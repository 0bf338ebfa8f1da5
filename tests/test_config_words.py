"""Settings in words: what was expected and what came, without any secret."""

from pathlib import Path

import pytest
from pydantic_core import ErrorDetails

from app.config_words import printable, problem


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("port", 8000, 8000),
        ("graphiql", True, True),
        ("data_dir", Path("/var/lib/widgetwire"), "/var/lib/widgetwire"),
        (
            "allowed_origins",
            ("https://a.example", "https://b.example"),
            "https://a.example,https://b.example",
        ),
        ("jwt_secret", "something", "(set)"),
        ("jwt_secret", None, None),
        ("database_url", "postgresql://ann:pw@db:5432/live", "postgresql://ann:***@db:5432/live"),
        ("database_url", "postgresql:///live?password=pw", "postgresql:///live?password=pw"),
        ("broadcast_url", "redis://:pw@cache/0?x=pw", "redis://cache/0?***"),
        ("broadcast_url", "postgres", "postgres"),
        ("database_url", "postgresql://[", "(set)"),
    ],
)
def test_a_value_as_it_may_be_shown(name: str, value: object, shown: object) -> None:
    assert printable(name, value) == shown


def details(name: str, came: object, error: str = "x") -> ErrorDetails:
    return {"type": "value_error", "loc": (name,), "msg": error, "input": came}


def test_a_name_that_is_no_setting_is_named() -> None:
    assert problem({}, details("prot", "1")) == "prot: expected the name of a setting"
