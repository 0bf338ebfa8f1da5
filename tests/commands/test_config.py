"""The settings, printed."""

import json

import pytest

from tests.commands.run import SECRET, widgetwire

pytestmark = pytest.mark.usefixtures("counted_processes")

STRONG = "Zr8tQy0mVJx3nE5uKc7wHd2bLf9gSa4p"


def test_config_prints_value_meaning_and_changed_defaults_with_secrets_masked() -> None:
    printed = widgetwire("config", JWT_SECRET=SECRET, PORT="9000", PROT="1")
    assert printed.returncode == 0
    assert "WIDGETWIRE_PORT=9000\n    TCP port; 0 picks a free one (default: 8000)" in (
        printed.stdout
    )
    assert "WIDGETWIRE_JWT_SECRET=(set)\n" in printed.stdout
    assert SECRET not in printed.stdout + printed.stderr
    assert "did you mean WIDGETWIRE_PORT?" in printed.stderr


def test_config_json_is_one_array() -> None:
    settings = json.loads(widgetwire("config", "--json", GRAPHIQL="off").stdout)
    graphiql = next(one for one in settings if one["variable"] == "WIDGETWIRE_GRAPHIQL")
    assert (graphiql["value"], graphiql["default"]) == (False, True)
    assert graphiql["meaning"]


def test_config_names_the_defaults_of_both_profiles() -> None:
    printed = widgetwire("config", ENV="production", JWT_SECRET=STRONG).stdout
    assert "WIDGETWIRE_ANONYMOUS=read\n" in printed
    assert "(default: allow, in production: read)" in printed
    assert "WIDGETWIRE_PORT=8000\n    TCP port; 0 picks a free one\n" in printed
