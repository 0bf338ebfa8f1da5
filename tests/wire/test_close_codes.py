"""Close codes: each is one that a server may send, and says whether to come back."""

import pytest

from app.wire.close_codes import CloseCode

# graphql-ws ends for good after these: https://github.com/enisdenjo/graphql-ws, `CloseCode`.
FINAL_TO_CLIENTS = {4400, 4401, 4406, 4409, 4429}
# RFC 6455, 7.4.1: reserved, "MUST NOT be set as a status code in a Close control frame".
RESERVED = {1004, 1005, 1006, 1015}


@pytest.mark.parametrize("code", CloseCode)
def test_it_may_be_sent(code: CloseCode) -> None:
    assert code not in RESERVED
    # RFC 6455, 7.4.2: 1000 to 2999 are the protocol's, 4000 to 4999 are private.
    assert 1000 <= code <= 1014 or 4000 <= code <= 4999


def test_final_to_us_is_final_to_graphql_clients() -> None:
    """A client that retries after a bad token would do so for ever."""
    ours = {code for code in CloseCode if code >= 4000}
    assert ours - {CloseCode.FORBIDDEN, CloseCode.INITIALISATION_TIMEOUT} == FINAL_TO_CLIENTS
