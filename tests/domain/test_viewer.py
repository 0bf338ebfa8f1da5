"""The one place that decides what a viewer may do."""

import pytest

from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import Forbidden, Unauthenticated

CHANNEL = Channel("project", "widget")


@pytest.mark.parametrize("projects", [None, frozenset({"project", "another"})])
def test_what_is_granted_is_allowed(projects: frozenset[str] | None) -> None:
    for permission in DEFAULT_PERMISSIONS:
        Viewer("ann", DEFAULT_PERMISSIONS, projects).require(permission, CHANNEL)


def test_a_token_that_does_not_grant_it_is_forbidden_to() -> None:
    viewer = Viewer("ann", frozenset({Permission.SEARCH}))
    with pytest.raises(Forbidden, match="'publish'"):
        viewer.require(Permission.PUBLISH, CHANNEL)


def test_whoever_has_no_token_is_asked_for_one() -> None:
    """A client that shows a log-in tells the two apart by the code."""
    with pytest.raises(Unauthenticated, match="'publish'"):
        Viewer(None, frozenset(), anonymous=True).require(Permission.PUBLISH, CHANNEL)


@pytest.mark.parametrize("projects", [frozenset(), frozenset({"PROJECT", "widget"})])
def test_a_project_that_the_token_does_not_name_is_forbidden(projects: frozenset[str]) -> None:
    with pytest.raises(Forbidden, match="'project'"):
        Viewer("ann", DEFAULT_PERMISSIONS, projects).require(Permission.SEARCH, CHANNEL)
