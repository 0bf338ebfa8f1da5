"""The one place that decides what a viewer may do."""

import pytest

from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import BadUserInput, Forbidden, Unauthenticated

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


@pytest.mark.parametrize(
    ("granted", "may"),
    [
        ({Permission.MODERATE}, {Permission.MODERATE}),
        ({Permission.ADMIN}, {Permission.MODERATE, Permission.ADMIN}),
        (DEFAULT_PERMISSIONS, DEFAULT_PERMISSIONS),
        (set(), set()),
    ],
)
def test_admin_includes_moderate_and_nothing_else(
    granted: set[Permission], may: set[Permission]
) -> None:
    viewer = Viewer("ann", frozenset(granted))
    assert {one for one in Permission if viewer.may(one)} == may


def test_nobody_moderates_without_a_token() -> None:
    viewer = Viewer(None, frozenset(Permission), anonymous=True)
    assert {one for one in Permission if viewer.may(one)} == DEFAULT_PERMISSIONS
    for permission in (Permission.MODERATE, Permission.ADMIN):
        with pytest.raises(
            Unauthenticated, match=f"send a token with the permission '{permission}'"
        ):
            viewer.require(permission, CHANNEL)


def test_a_right_in_a_project_needs_no_channel() -> None:
    moderator = Viewer("ann", frozenset({Permission.MODERATE}), frozenset({"project"}))
    moderator.require_in_project(Permission.MODERATE, "project")
    with pytest.raises(Forbidden, match="'other'"):
        moderator.require_in_project(Permission.MODERATE, "other")
    with pytest.raises(Forbidden, match="'admin'"):
        moderator.require_in_project(Permission.ADMIN, "project")


@pytest.mark.parametrize(
    ("subject", "client_id", "publisher"),
    [
        (None, None, None),
        ("u1", None, "sub:u1"),
        (None, "signed-1", "signed:signed-1"),
        ("u1", "signed-1", "sub:u1"),
    ],
)
def test_the_publisher_is_the_subject_else_the_signed_client_id(
    subject: str | None, client_id: str | None, publisher: str | None
) -> None:
    viewer = Viewer(None, DEFAULT_PERMISSIONS, subject=subject, client_id=client_id)
    assert viewer.publisher == publisher


def test_nobody_poses_as_a_signed_client() -> None:
    signed = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True, client_id="signed-1")
    anna = Viewer("anna", DEFAULT_PERMISSIONS, subject="u1")
    assert signed.claimed_client_id("clientId", "signed-1") == "signed-1"
    assert signed.claimed_client_id("clientId", "page 1") == "page 1"
    assert anna.claimed_client_id("clientId", "Signed-1") == "Signed-1"
    for viewer, claimed in ((anna, "signed-1"), (signed, "signed-2"), (signed, "signed-")):
        with pytest.raises(Forbidden, match=f"clientId is '{claimed}'; ids that begin with"):
            viewer.claimed_client_id("clientId", claimed)
    with pytest.raises(BadUserInput, match="clientId"):
        signed.claimed_client_id("clientId", "")
