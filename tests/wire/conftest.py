"""The protocol class runs on both loops: transports differ in what they call, and when."""

import pytest


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The event loop under tests marked `anyio`."""
    return "asyncio", {"use_uvloop": request.param}
