"""A Kafka cluster's URL: what it means, and what is refused with which words."""

import pytest

from app.delivery.backends.kafka_address import KafkaAddress
from app.errors import ConfigurationError


def test_a_host_is_enough() -> None:
    address = KafkaAddress.parse("kafka://broker")
    assert address.servers == ("broker:9092",)
    assert address.topic == "widgetwire-events"
    assert address.security_protocol == "PLAINTEXT"


def test_servers_topic_and_login_are_read() -> None:
    address = KafkaAddress.parse(
        "kafka://me:p%40ss@one:1,[::1]:2,[::2]/events?security_protocol=SASL_SSL"
        "&sasl_mechanism=SCRAM-SHA-512"
    )
    assert address.servers == ("one:1", "[::1]:2", "[::2]:9092")
    assert (address.topic, address.username, address.password) == ("events", "me", "p@ss")
    options = address.client_options()
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_password"] == "p@ss"
    assert options["ssl_context"].check_hostname
    assert "p@ss" not in repr(address)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("kafka://host:port/t", "host:port, or several"),
        ("kafka://host/a/b", "a topic of 1 to 249"),
        ("kafka://host/..", "a topic of 1 to 249"),
        ("kafka://host/?acks=0", "no options but"),
        ("kafka://host/?security_protocol=TLS", "one of PLAINTEXT, SSL"),
        ("kafka://u:p@host/?sasl_mechanism=GSSAPI", "one of PLAIN, SCRAM"),
        ("kafka://u:hunter2@host/?security_protocol=SSL", "only with one"),
        ("kafka://host/?security_protocol=SASL_SSL", "only with one"),
    ],
)
def test_what_it_is_not_is_said(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        KafkaAddress.parse(url)
    assert "hunter2" not in str(raised.value)


def test_a_file_of_authorities_that_is_not_there_is_named() -> None:
    address = KafkaAddress.parse("kafka://host/?security_protocol=SSL&ssl_cafile=/no/such.pem")
    with pytest.raises(ConfigurationError, match=r"/no/such\.pem"):
        address.client_options()
