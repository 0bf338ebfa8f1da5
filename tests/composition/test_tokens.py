"""How tokens are verified in one process: what the settings name, and the issuer's keys."""

from contextlib import AsyncExitStack

import jwt
import pytest

from app.composition.tokens import check_keys, started_authenticator
from app.config import Settings
from app.errors import ConfigurationError, Unauthenticated
from app.services.client_ids import ClientIds
from app.transports.auth.authenticator import viewer_with_keys
from tests.transports.auth.issuer import EC_KEY, ED_KEY, Issuer, jwk, token
from tests.transports.auth.signing import SECRET, pem

pytestmark = pytest.mark.anyio

IDS = ClientIds(["another secret of more than thirty-two bytes"])


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (Settings(jwks_url="http://issuer.example/"), "WIDGETWIRE_JWKS_URL"),
        (Settings(jwt_public_key="-----BEGIN"), "WIDGETWIRE_JWT_PUBLIC_KEY"),
    ],
)
def test_keys_that_cannot_be_used_are_told_at_the_start(settings: Settings, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        check_keys(settings)


async def test_all_keys_verify_side_by_side_and_the_claims_are_held_to_the_settings() -> None:
    async with Issuer() as issuer, AsyncExitStack() as stack:
        issuer.publish(jwk(ED_KEY, kid="1"))
        settings = Settings(
            jwt_secret=SECRET,
            jwt_public_key=pem(EC_KEY),
            jwks_url=issuer.url,
            jwt_audience="widgets",
            jwt_issuer="own,theirs",
        )
        check_keys(settings)
        viewer_of = started_authenticator(stack, settings, IDS).viewer
        claims = {"aud": "widgets", "iss": "own"}
        for good in (
            jwt.encode(claims | {"sub": "u1"}, SECRET, algorithm="HS256"),
            token(EC_KEY, **claims),
            token(ED_KEY, "1", **claims),
        ):
            assert (await viewer_with_keys(viewer_of, good, None)).subject == "u1"
        for claim in claims:
            with pytest.raises(Unauthenticated, match=f"claim '{claim}'"):
                viewer_of(token(EC_KEY, **claims | {claim: "another"}), None)
        client = IDS.signed(IDS.new_id())
        assert viewer_of(None, client.token).client_id == client.id
    assert len(issuer.requests) == 1


async def test_without_keys_everybody_is_anonymous() -> None:
    async with AsyncExitStack() as stack:
        viewer_of = started_authenticator(stack, Settings(), IDS).viewer
        assert viewer_of(None, None).anonymous
        with pytest.raises(Unauthenticated, match="no key"):
            viewer_of(token(ED_KEY), None)
