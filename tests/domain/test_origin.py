"""Which origins an operator's list allows, and that no other domain slips through."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.origin import OriginList, parse_origin

WILD = OriginList(["https://*.example.com"])


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example.com", True),
        ("https://a.b-c.example.com", True),
        ("https://A.Example.com", True),
        ("https://a.example.com:443", True),
        ("https://xn--bcher-kva.example.com", True),
        ("https://example.com", False),
        ("http://a.example.com", False),
        ("https://a.example.com:8443", False),
        ("https://evilexample.com", False),
        ("https://example.com.evil.org", False),
        ("https://a.example.com.evil.org", False),
        ("https://evil.org/.example.com", False),
        ("https://evil.org#.example.com", False),
        ("https://evil.org?.example.com", False),
        ("https://evil.org\\.example.com", False),
        ("https://evil.org@a.example.com", False),
        ("https://evil.org:443.example.com", False),
        ("https://.example.com", False),
        ("https://a..example.com", False),
        ("https://-.example.com", False),
        ("https://a.example.com.", False),
        ("https://*.example.com", False),
        ("https://a%2eexample.com", False),
        (f"https://{'a' * 64}.example.com", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_wildcard_stands_for_whole_labels_before_the_domain(origin: str, allowed: bool) -> None:
    assert (origin in WILD) is allowed


PIECES = st.sampled_from(
    [
        *("example.com", "evil.org", "a", "xn--", "_", "*", "null", "::1", "443", "%2e"),
        *("https://", "http://", ".", "..", "-", ":", "@", "/", "\\", "#", "?", "[", "]", ","),
        *(" ", "\t", "\r\n", "\0"),
        # These look like, or become, a dot or a k.
        *("\u3002", "\uff0e", "\u212a"),
    ]
)
ORIGINS = st.text() | st.lists(PIECES, max_size=8).map("".join)


@given(ORIGINS, st.sampled_from(["", "https://"]), st.sampled_from(["", "example.com"]))
def test_no_origin_of_another_domain_passes(text: str, before: str, after: str) -> None:
    origin = before + text + after
    if origin not in WILD:
        return
    # As a URL parser of other make reads it.
    parts = urlsplit(origin)
    assert parts.scheme == "https"
    assert parts.port in {None, 443}
    assert parts.username is None
    assert parts.path == parts.query == parts.fragment == ""
    host = parts.hostname or ""
    assert host.endswith(".example.com")
    assert all(host.removesuffix(".example.com").split("."))
    assert origin.isascii()


@given(
    st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,20}(\.[a-z0-9_][a-z0-9_-]{0,20}){0,4}", fullmatch=True)
)
def test_every_subdomain_passes(labels: str) -> None:
    assert f"https://{labels}.example.com" in WILD
    assert f"https://{labels}example.com" not in WILD or labels.endswith(".")


@given(ORIGINS)
def test_whatever_is_listed_is_a_list_or_an_error(entry: str) -> None:
    try:
        listed = OriginList([entry])
    except ValueError:
        return
    if entry not in {"*", "null"} and "*" not in entry:
        assert entry in listed
    assert ("https://elsewhere.test" in listed) is (entry == "*")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "NULL ",
        "*.a.b",
        "https://*",
        "https://*.com",
        "https://*a.example.com",
        "https://a.*.example.com",
        "https://*.*.example.com",
        "https://*.2.3.4",
        "https://*.[::1]",
        "https://*.example.com/",
        "https://*.example.com.",
        "https://*.example.com:99999",
    ],
)
def test_other_forms_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"^expected \* or a comma-separated list"):
        OriginList([entry])


def test_scheme_and_port_of_a_wildcard_hold_as_written() -> None:
    listed = OriginList(["http://*.localhost:3000", "null"])
    assert "http://a.localhost:3000" in listed
    assert "http://a.localhost" not in listed
    assert "https://a.localhost:3000" not in listed
    assert "null" in listed
    assert parse_origin("null") is None
