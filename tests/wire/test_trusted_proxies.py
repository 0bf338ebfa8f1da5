"""Whose word on a client's address is taken."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire.trusted_proxies import TrustedProxies, canonical_address

PROXIES = TrustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48"])


def client(*fields: str, caller: str = "10.0.0.5") -> str:
    headers = [(b"x-forwarded-for", field.encode()) for field in fields]
    return PROXIES.client_address(caller, [(b"host", b"a"), *headers])


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        # What a client writes stands before what the proxies add.
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9, 192.0.2.1"], "203.0.113.9"),
        (["1.1.1.1", "203.0.113.9", "10.1.1.1"], "203.0.113.9"),
        (["rubbish, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["2001:DB8:0::9"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, ::ffff:10.0.0.7"], "203.0.113.9"),
        (["203.0.113.9, 2001:db8:ffff::1"], "203.0.113.9"),
        # Only proxies: the first of them asks for itself.
        (["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
    ],
)
def test_the_rightmost_address_that_is_no_proxys_is_the_clients(
    fields: list[str], address: str
) -> None:
    assert client(*fields) == address


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [""],
        ["unknown"],
        ["203.0.113.9, "],
        ["203.0.113.9, _hidden"],
        ["203.0.113.9, 10.0.0.1.2"],
        ["203.0.113.9, 999.0.0.1"],
        ["203.0.113.9\x00"],
        ["203.0.113.9, \xff"],
        [", ".join(["203.0.113.9", *["10.0.0.9"] * 16])],
        [", ".join(["10.0.0.9"] * 5000)],
    ],
)
def test_what_cannot_be_read_is_the_proxy_itself(fields: list[str]) -> None:
    assert client(*fields) == "10.0.0.5"


def test_sixteen_hops_are_looked_at() -> None:
    assert client(", ".join(["203.0.113.9", *["10.0.0.9"] * 15])) == "203.0.113.9"


@pytest.mark.parametrize("caller", ["203.0.113.1", "2001:db8::1", "local"])
def test_nobody_else_is_believed(caller: str) -> None:
    assert client("198.51.100.1", caller=caller) == caller


def test_by_default_nobody_is_believed() -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.1")]
    assert TrustedProxies().client_address("127.0.0.1", headers) == "127.0.0.1"


@pytest.mark.parametrize("network", ["", "example.com", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        TrustedProxies([network])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert canonical_address(text) == address


@given(st.lists(st.text(alphabet="0123456789abcdef.:,[]% \x00x", max_size=40), max_size=4))
def test_whatever_a_client_writes_before_it_the_proxys_word_counts(written: list[str]) -> None:
    assert client(*written, "203.0.113.9") == "203.0.113.9"


@given(st.ip_addresses())
def test_every_address_is_read_back(address: object) -> None:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert canonical_address(str(address)) == str(mapped or address)
