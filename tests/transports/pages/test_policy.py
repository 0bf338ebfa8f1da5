"""The headers of the pages: nothing from elsewhere, nothing around them."""

import pytest

from app.transports.pages.policy import DEMO_HEADERS, GRAPHIQL_HEADERS


def sources(headers: dict[str, str]) -> dict[str, str]:
    """Return a page's policy, source list by directive."""
    policy = headers["Content-Security-Policy"]
    return dict(part.split(" ", 1) for part in policy.split("; "))


@pytest.mark.parametrize("headers", [DEMO_HEADERS, GRAPHIQL_HEADERS])
def test_no_page_reaches_another_host_or_runs_what_it_holds(headers: dict[str, str]) -> None:
    found = sources(headers)
    assert found["default-src"] == "'none'"
    assert found["script-src"] == found["connect-src"] == "'self'"
    assert found["frame-ancestors"] == found["base-uri"] == "'none'"
    assert found["form-action"] == "'self'"
    assert not [value for value in found.values() if "http" in value or "*" in value]


def test_only_graphiql_has_styles_of_its_own_and_workers() -> None:
    demo, graphiql = sources(DEMO_HEADERS), sources(GRAPHIQL_HEADERS)
    assert {name for name, value in graphiql.items() if demo.get(name) != value} == {
        "style-src",
        "worker-src",
    }


@pytest.mark.parametrize("headers", [DEMO_HEADERS, GRAPHIQL_HEADERS])
def test_a_page_is_asked_for_again_and_is_what_it_says(headers: dict[str, str]) -> None:
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
