"""The files for Prometheus and Grafana name what there is, and the real programs take them."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from app.composition.metrics import METRICS
from tests.hosted import hosted
from tests.node import required_program

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yml"
ALERTS_TEST: Final = Path(__file__).parent / "alerts_test.yml"
DASHBOARD: Final = json.loads((DEPLOY / "grafana" / "widgetwire.json").read_text("utf-8"))

TOKEN: Final = "a token of more than thirty-two bytes"


def promtool(*arguments: str | Path, directory: Path) -> None:
    """Run it, and fail with what it says."""
    program = required_program("promtool")
    ran = subprocess.run(
        [program, *arguments],
        check=False,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def series() -> set[str]:
    """Return the names of all time series that `/metrics` has."""
    return {
        name
        for metric in METRICS
        for name in (
            [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
            if metric.kind == "histogram"
            else [metric.name]
        )
    }


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    """Return what the dashboard asks Prometheus, Grafana's variables filled in."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    return [one.replace("$__rate_interval", "1m").replace("$instance", ".*") for one in asked]


@pytest.mark.parametrize(
    "text",
    [ALERTS.read_text("utf-8"), ALERTS_TEST.read_text("utf-8"), json.dumps(DASHBOARD)],
    ids=["alerts", "their test", "dashboard"],
)
def test_only_series_that_exist_are_asked_for(text: str) -> None:
    named = set(re.findall(r"\bwidgetwire_[a-z_]+", text))
    assert named
    assert named <= series()


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(expressions())
    missing = [
        metric.name for metric in METRICS if not re.search(rf"\b{metric.name}(_bucket)?\b", shown)
    ]
    assert missing == ["widgetwire_frames_received_total", "widgetwire_frames_sent_total"]


def test_labels_that_are_asked_for_exist() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    known = labels | {"worker", "instance", "job", "le"}
    for text in [ALERTS.read_text("utf-8"), *expressions()]:
        grouped = re.findall(r"\bby \(([^)]*)\)", text)
        used = {one.strip() for group in grouped for one in group.split(",")}
        used |= set(re.findall(r'[{,]\s*(\w+)\s*(?:=~|!~|!=|=)"', text))
        assert used <= known, text


def test_panels_have_their_own_ids_and_places() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_document_says_what_to_do_about_each_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text("utf-8"))
    document = (ROOT / "docs" / "MONITORING.md").read_text("utf-8")
    assert re.findall(r"^\| `(Widgetwire\w+)` \|", document, re.MULTILINE) == alerts


def test_promtool_takes_the_files_and_the_alerts_come_when_they_should(tmp_path: Path) -> None:
    for path in (*(DEPLOY / "prometheus").iterdir(), ALERTS_TEST):
        shutil.copy(path, tmp_path)
    promtool("check", "config", "prometheus.yml", directory=tmp_path)
    promtool("test", "rules", "alerts_test.yml", directory=tmp_path)


def test_promtool_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": asked} for number, asked in enumerate(expressions())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file, directory=tmp_path)


@pytest.mark.anyio
async def test_a_real_prometheus_scrapes_a_real_service(database_url: str, tmp_path: Path) -> None:
    program = required_program("prometheus")
    async with hosted(database_url, metrics_token=TOKEN) as host, httpx.AsyncClient() as client:
        assert (await client.get(f"http://{host}/metrics")).status_code == 401
        text = (DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8")
        for old, new in {
            "scrape_interval: 15s": "scrape_interval: 200ms",
            "127.0.0.1:8000": host,
            "    # authorization:\n    #   credentials_file: /etc/prometheus/widgetwire.token": (
                "    authorization:\n      credentials_file: widgetwire.token"
            ),
        }.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "prometheus.yml").write_text(text)
        (tmp_path / "widgetwire.token").write_text(TOKEN)
        shutil.copy(ALERTS, tmp_path)
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            "--web.listen-address=127.0.0.1:0",
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            api = f"http://{await listening(process)}/api/v1"
            for expression in ('up{job="widgetwire"} == 1', 'widgetwire_build_info{worker="1"}'):
                assert await found(client, api, expression)
            groups = (await client.get(f"{api}/rules")).json()["data"]["groups"]
            alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text("utf-8"))
            assert [rule["name"] for rule in groups[0]["rules"]] == alerts
        finally:
            process.kill()
            await process.communicate()


async def listening(process: asyncio.subprocess.Process) -> str:
    """Return where Prometheus listens, once it says so."""
    assert process.stderr is not None
    said = b""
    async for line in process.stderr:
        said += line
        if address := re.search(rb"Listening on.*address=(127\.0\.0\.1:[1-9]\d*)", line):
            return address[1].decode()
    raise AssertionError(said.decode())


async def found(client: httpx.AsyncClient, api: str, expression: str) -> list[Any]:
    """Return what an expression finds, once it finds anything."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get(f"{api}/query", params={"query": expression})
            if answer.status_code == 200 and (result := answer.json()["data"]["result"]):
                return list(result)
            await asyncio.sleep(0.05)
