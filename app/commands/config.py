"""`widgetwire config`: the settings, as they are and as they would be."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.settings import check_service, read_settings

if TYPE_CHECKING:
    from app.config import SettingDescription

__all__ = ["config_command"]


def config_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the settings as a JSON array.")
    ] = False,
) -> None:
    """Print all settings with value, default and description. Secrets are masked."""
    import dataclasses
    import json

    settings = read_settings()
    check_service(settings)
    descriptions = settings.describe()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in descriptions], indent=2))
        return
    for one in descriptions:
        typer.echo(f"{one.variable}={_shown(one.value)}")
        typer.echo(f"    {one.meaning}{_defaults(one)}")


def _defaults(one: "SettingDescription") -> str:
    """Return what the default is, where it is not the value or depends on the profile."""
    default = _shown(one.default) or "unset"
    if one.production_default != one.default:
        return f" (default: {default}, in production: {_shown(one.production_default)})"
    return "" if one.value == one.default else f" (default: {default})"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
