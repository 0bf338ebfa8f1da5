"""The listening sockets of a service go to the next one: what both sides say and refuse."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from app.errors import ConfigurationError
from app.process import takeover
from app.process.listening import Group, bind, close
from app.process.takeover import Handover, Takeover, name_of


class Service:
    """One that runs: its sockets, and whether it was told to end."""

    def __init__(self, count: int = 1) -> None:
        self.groups: list[Group] = bind("127.0.0.1", 0, count)
        self.taken = threading.Event()
        self.address: tuple[str, int] = self.groups[0][0].getsockname()
        for group in self.groups:
            for listening in group:
                listening.listen()
        Handover(self.groups, self.taken.set).start()

    def asked(self) -> Takeover:
        """Ask it for its sockets, as soon as it waits for that."""
        for _ in range(500):
            if (asked := Takeover.ask([self.address])) is not None:
                return asked
            threading.Event().wait(0.01)
        raise AssertionError("it hands nothing over")


def drop(asked: Takeover) -> None:
    """End as a service does that could not start."""
    close(asked.groups)
    asked._connection.close()


@pytest.fixture
def service() -> Iterator[Service]:
    """One with sockets for two processes; its thread ends when the takeover is finished."""
    made = Service(2)
    yield made
    if not made.taken.is_set():
        last = made.asked()
        last.finish()
        close(last.groups)
    close(made.groups)


def test_where_nobody_serves_there_is_nothing_to_take_over() -> None:
    assert Takeover.ask([("127.0.0.1", 1)]) is None


def test_the_sockets_themselves_are_handed_over_and_the_old_service_ends_when_told(
    service: Service,
) -> None:
    with socket.create_connection(service.address):
        asked = service.asked()
        assert [len(group) for group in asked.groups] == [1, 1]
        assert not service.taken.is_set()
        asked.finish()
        assert service.taken.wait(5)
        # Whoever waits in a socket is not lost with the service that opened it.
        close(service.groups)
        accepted = 0
        for (listening,) in asked.groups:
            assert listening.getsockname() == service.address
            listening.settimeout(0.2)
            try:
                listening.accept()[0].close()
                accepted += 1
            except TimeoutError:
                pass
        assert accepted == 1
    close(asked.groups)


def test_whoever_ends_before_it_is_ready_changes_nothing(service: Service) -> None:
    drop(service.asked())
    again = service.asked()
    assert not service.taken.is_set()
    again.finish()
    assert service.taken.wait(5)
    close(again.groups)


def test_a_service_that_ended_meanwhile_is_no_reason_to_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    Takeover(ours, [], "1.0").finish()
    assert "has ended by itself" in caplog.text


def test_a_service_that_is_ending_hands_nothing_over(service: Service) -> None:
    drop(service.asked())
    open_ones = [*service.groups]
    with socket.socket() as closed:
        pass
    service.groups[:] = [[closed]]
    assert Takeover.ask([service.address]) is None
    service.groups[:] = open_ones


def test_another_user_neither_gets_nor_gives_sockets(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drop(service.asked())
    with monkeypatch.context() as patched:
        patched.setattr(takeover, "geteuid", lambda: 12345)
        with pytest.raises(
            ConfigurationError, match="belongs to another user: expected user 12345"
        ):
            Takeover.ask([service.address])


def test_more_sockets_than_a_message_carries_are_refused_in_words(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(service.asked())
    with monkeypatch.context() as patched:
        patched.setattr(takeover, "_MOST_SOCKETS", 1)
        with pytest.raises(ConfigurationError, match=r"has 2 sockets, at most 1 can go; end it"):
            Takeover.ask([service.address])


def test_a_version_that_speaks_otherwise_is_named() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as old:
        old.bind(name_of([("127.0.0.1", 1)]))
        old.listen()

        def answer() -> None:
            with old.accept()[0] as connection:
                connection.send(json.dumps({"protocol": 2, "version": "9.1"}).encode())

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ConfigurationError, match=r"widgetwire 9\.1 cannot hand over its port"):
            Takeover.ask([("127.0.0.1", 1)])
        answering.join()


def test_one_that_starts_while_the_one_before_it_ends_waits_for_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(takeover, "_NAME_POLL_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ending:
            ending.bind(name_of([address]))
            taken = threading.Event()
            Handover([[listening]], taken.set).start()
            assert Takeover.ask([address]) is None
        for _ in range(500):
            if (asked := Takeover.ask([address])) is not None:
                break
            threading.Event().wait(0.01)
        assert asked is not None
        asked.finish()
        assert taken.wait(5)
        close(asked.groups)
