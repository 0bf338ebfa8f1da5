"""`widgetwire indexes`: what is searched by index, and by whose wish."""

from collections.abc import Callable, Coroutine
from typing import Annotated

import typer

from app.commands.settings import database_of_command

__all__ = ["add_index", "drop_index", "list_indexes"]


def list_indexes(context: typer.Context) -> None:
    """List the search indexes and those that are pending."""
    if context.invoked_subcommand is None:
        from app.process.indexes import listed

        _told(listed)


def add_index(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Fields that searches compare for equality, such as data.user; at most 4."
        ),
    ],
    sort: Annotated[
        str | None, typer.Option(help="A field that searches also sort by or compare by order.")
    ] = None,
) -> None:
    """Build an index while the service runs. It is never dropped automatically."""
    from app.process.indexes import added, parse_paths

    index = parse_paths(paths, sort)
    _told(lambda url: added(url, index))


def drop_index(
    name: Annotated[str, typer.Argument(help="The name that `widgetwire indexes` shows.")],
) -> None:
    """Drop an index while the service runs."""
    from app.process.indexes import dropped

    _told(lambda url: dropped(url, name))


def _told(work: Callable[[str], Coroutine[None, None, str]]) -> None:
    """Do something with the service's database, and print what it says."""
    import asyncio

    with database_of_command() as (_, settings):
        assert settings.database_url is not None, "it names the database"
        typer.echo(asyncio.run(work(settings.database_url)))
