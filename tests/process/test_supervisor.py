"""Several server processes: sockets, workers that die, a parent that dies."""

import os
import signal
import time

import httpx
import psutil
import pytest

from app.errors import ConfigurationError
from app.process.listening import bind
from tests.process.tiny_process import TinyProcess, worker_pids


def test_workers_share_a_port_and_sigterm_ends_all_of_them() -> None:
    with TinyProcess(workers=2) as tiny:
        url = tiny.url
        pids = worker_pids(url, 2)
        assert tiny.process.pid not in pids
        assert tiny.end() == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_killed_worker_is_replaced() -> None:
    with TinyProcess(workers=2) as tiny:
        url = tiny.url
        before = worker_pids(url, 2)
        killed = before.pop()
        os.kill(killed, signal.SIGKILL)
        tiny.line_containing("another starts")
        # Connections for the dead worker wait in its socket, which the parent holds.
        after = worker_pids(url, 2)
        assert killed not in after
        assert before < after
        assert tiny.end() == 0


def test_a_worker_that_the_system_refuses_to_start_is_tried_again() -> None:
    """One refused fork ended the worker's keeper without a word: its slot stayed empty."""
    with TinyProcess(workers=2, wrong="no third process") as tiny:
        url = tiny.url
        before = worker_pids(url, 2)
        killed = before.pop()
        os.kill(killed, signal.SIGKILL)
        tiny.line_containing("a worker could not be started: ")
        after = worker_pids(url, 2)
        assert killed not in after
        assert before < after
        assert tiny.end() == 0


def test_workers_end_when_their_parent_is_killed() -> None:
    with TinyProcess(workers=2, grace_seconds=1) as tiny:
        workers = [psutil.Process(pid) for pid in worker_pids(tiny.url, 2)]
        tiny.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive


def test_ctrl_c_reaches_parent_and_workers_alike_and_still_ends_in_order() -> None:
    with TinyProcess(workers=2) as tiny:
        pids = worker_pids(tiny.url, 2)
        for pid in (*pids, tiny.process.pid):
            os.kill(pid, signal.SIGINT)
        assert tiny.wait() == 0
        tiny.line("drained")
        tiny.line("drained")


def test_a_blocked_worker_is_killed_and_the_end_stays_in_time() -> None:
    with TinyProcess(workers=2, grace_seconds=0.5, wrong="blocks") as tiny:
        assert tiny.url
        began = time.monotonic()
        assert tiny.end() == 0
        assert time.monotonic() - began < 5


def test_workers_that_cannot_start_end_the_service_with_exit_code_1() -> None:
    with TinyProcess(workers=2, wrong="refuses to start") as tiny:
        assert tiny.wait() == 1
        text = "".join(tiny.printed)
        assert "TINY: expected a good mood" in text
        assert "a worker did not start (exit code 1)" in text
        assert "Traceback" not in text


def test_two_services_with_workers_do_not_share_a_port_by_accident() -> None:
    with TinyProcess(workers=2) as tiny:
        port = httpx.URL(tiny.url).port
        assert port is not None
        with pytest.raises(ConfigurationError, match="WIDGETWIRE_PORT"):
            bind("127.0.0.1", port, 2)
        assert tiny.end() == 0


def test_a_second_sigterm_hurries_and_a_second_ctrl_c_does_not_wait() -> None:
    """Sockets that nobody closes hold it up, until it is told again."""
    with TinyProcess(workers=2, wrong="drains for ever") as tiny:
        assert tiny.url
        tiny.process.send_signal(signal.SIGINT)
        tiny.line("drained")
        began = time.monotonic()
        tiny.process.send_signal(signal.SIGINT)
        assert tiny.wait() == 0
        assert time.monotonic() - began < 5
