"""What a process counts."""

from app.telemetry.counters import CONNECTION_KINDS, REFUSAL_REASONS, Counted


def test_a_connection_counts_until_it_ends_and_its_opening_for_good() -> None:
    counted = Counted()
    counted.opened("legacy")
    counted.opened("legacy")
    counted.ended("legacy")
    assert counted.connections["legacy"] == 1
    assert counted.connections_opened["legacy"] == 2


def test_what_has_not_happened_yet_counts_zero() -> None:
    # Prometheus sees a first event only where there was a zero before.
    counted = Counted()
    assert dict(counted.connections) == dict.fromkeys(CONNECTION_KINDS, 0)
    assert dict(counted.connections_opened) == dict.fromkeys(CONNECTION_KINDS, 0)
    assert dict(counted.refusals) == dict.fromkeys(REFUSAL_REASONS, 0)
