import pytest

from app.peer import Peer


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8:0:0::/64"),
        ("2001:db8:0:0:1::", "2001:db8:0:0::/64"),
        ("::1", "0:0:0:0::/64"),
        ("::", "0:0:0:0::/64"),
        ("fe80::", "fe80:0:0:0::/64"),
    ],
)
def test_an_ipv6_address_counts_as_its_network(address: str, network: str) -> None:
    assert Peer(address, "1").network == network


def test_its_representation_names_both() -> None:
    assert repr(Peer("192.0.2.7", "a-1")) == "Peer('192.0.2.7', 'a-1')"
