"""The endpoint that Prometheus scrapes."""

import asyncio
import threading

import httpx
import pytest
from starlette.applications import Starlette

from app.telemetry.measured import Metric, Reading, reading_of
from app.telemetry.workers import Workers
from app.transports import metrics
from app.transports.metrics import MetricsPage
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio

NUMBER = Metric("widgetwire_number", "gauge", "A number.")
TOKEN = "a token of more than thirty-two bytes"


def read() -> Reading:
    return reading_of([(NUMBER, {(): 7})])


async def asked(page: MetricsPage, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(Starlette(routes=[page.route()]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, "/metrics", headers=headers)


async def test_it_answers_in_prometheus_text() -> None:
    response = await asked(MetricsPage([NUMBER], Workers(read)))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.text == (
        "# HELP widgetwire_number A number.\n"
        "# TYPE widgetwire_number gauge\n"
        'widgetwire_number{worker="1"} 7.0\n'
    )


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", f"Bearer {TOKEN}x", TOKEN, "Bearer é"]
)
async def test_with_a_token_only_who_brings_it_may_see_it(authorization: str | None) -> None:
    page = MetricsPage([NUMBER], Workers(read), TOKEN)
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    response = await asked(page, **headers)  # type: ignore[arg-type]
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.text == (
        "Authentication required: send the token of WIDGETWIRE_METRICS_TOKEN as "
        "Authorization: Bearer\n"
    )
    assert (await asked(page, authorization=f"Bearer {TOKEN}")).status_code == 200


async def test_those_who_ask_at_the_same_time_share_an_answer() -> None:
    reads = 0

    def counted() -> Reading:
        nonlocal reads
        reads += 1
        return read()

    page = MetricsPage([NUMBER], Workers(counted))
    answers = await asyncio.gather(*(asked(page) for _ in range(10)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert reads < 10
    before = reads
    await asked(page)
    assert reads == before + 1


async def test_answers_are_made_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each who asked held up the loop: all threads want the same interpreter."""
    made, may_end = 0, threading.Event()

    def slow(*_: object) -> tuple[bytes, str]:
        nonlocal made
        made += 1
        may_end.wait(10)
        return b"text", "text/plain"

    monkeypatch.setattr(metrics, "exposition", slow)
    page = MetricsPage([NUMBER], Workers(read))
    asking = [asyncio.create_task(asked(page)) for _ in range(10)]
    await until(lambda: made, 5)
    asking.append(asyncio.create_task(asked(page)))
    asking.pop(0).cancel()
    await asyncio.sleep(0)
    may_end.set()
    assert {answer.text for answer in await asyncio.gather(*asking)} == {"text"}
    assert made == 1


async def test_only_get_and_head() -> None:
    page = MetricsPage([NUMBER], Workers(read))
    assert (await asked(page, "HEAD")).status_code == 200
    assert (await asked(page, "POST")).status_code == 405
