"""What the files of `deploy/` say of the service: settings, paths and commands that there are."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from app import cli
from app.config import Settings
from tests.npm import MissingProgramError, program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "widgetwire"
OPTIONS = (
    "ingress.enabled=true",
    "ingress.tlsSecretName=tls",
    "serviceMonitor.enabled=true",
    "pullSecrets[0]=registry",
)


def files() -> list[Path]:
    return [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_is_a_setting(path: Path) -> None:
    settings = {f"WIDGETWIRE_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bWIDGETWIRE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert named <= settings


def test_the_image_is_made_of_what_is_there_and_starts_a_command() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    commands = {command.name for command in cli._cli.registered_commands}
    (command,) = re.findall(r"^CMD \[\"(\w+)\"\]$", text, re.MULTILINE)
    assert command in commands | {"serve"}
    assert "USER 10001:10001" in text
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    # What hatchling is told to take along.
    for needed in ("app", "docs", "migrations", "deploy", "README.md", "graphiql"):
        assert needed not in ignored
        assert (ROOT / needed).exists()


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        (DEPLOY / "docker" / "compose.yaml").read_text(encoding="utf-8")
    )
    return loaded


def test_compose_names_services_and_volumes_that_it_has() -> None:
    services = compose()["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose()["volumes"]
    build = services["migrate"]["build"]
    context = (DEPLOY / "docker" / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    for name in ("migrate", "widgetwire"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_compose_s_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As values of the environment, with secrets in the places of the variables."""
    for name, value in compose()["services"]["widgetwire"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{[^}]*\}", "9f2c1b7d" * 8, str(value)))
    settings = Settings()
    assert settings.workers == 2


def test_the_values_of_the_chart_are_what_its_schema_allows() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema_rs.validate(schema, values)
    assert not jsonschema_rs.is_valid(schema, values | {"replicas": 0})
    assert not jsonschema_rs.is_valid(schema, values | {"replica": 2})


def rendered() -> Iterator[dict[str, Any]]:
    try:
        helm = program("helm")
    except MissingProgramError as error:
        # No package repository that the tests install from has it.
        pytest.skip(str(error))
    subprocess.run([helm, "lint", "--strict", CHART], check=True, capture_output=True, timeout=60)
    command = [str(helm), "template", "live", str(CHART), "--set", ",".join(OPTIONS)]
    text = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    yield from yaml.safe_load_all(text)


def test_helm_makes_of_it_what_belongs_together() -> None:
    found = {one["kind"]: one for one in rendered()}
    assert set(found) == {
        "Deployment", "Ingress", "Job", "PodDisruptionBudget", "Service", "ServiceMonitor",
    }  # fmt: skip
    template = found["Deployment"]["spec"]["template"]
    selector = found["Service"]["spec"]["selector"]
    assert selector.items() <= template["metadata"]["labels"].items()
    assert not selector.items() <= found["Job"]["spec"]["template"]["metadata"]["labels"].items()
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector
    assert found["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == selector
    assert selector.items() <= found["Service"]["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    assert container["args"] == ["serve"]
    names = [variable["name"] for variable in container["env"]]
    assert {"WIDGETWIRE_WORKERS", "WIDGETWIRE_ENV"} <= set(names)
    assert template["spec"]["enableServiceLinks"] is False
