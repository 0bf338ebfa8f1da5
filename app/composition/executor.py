"""What executes GraphQL in one process: the schema, its resolvers, and the documents it takes."""

from app.composition.document_list import read_document_list
from app.config import Settings
from app.engine.direct import Resolvers
from app.engine.execution import Executor
from app.engine.limits import DocumentLimits
from app.schema import build_schema
from app.schema.operations import answer, publish, search, searched, subscribe
from app.transports.pages.console_documents import console_documents

__all__ = ["executor_of"]


def executor_of(settings: Settings) -> Executor:
    """Return the executor of a process.

    Raises:
        ConfigurationError: the file of known documents cannot be read, or one of them not used.
    """
    only_listed = settings.documents == "known"
    listed = _listed(settings)
    if only_listed and settings.console:
        listed = {**(listed or {}), **console_documents()}
    return Executor.of(
        build_schema(),
        DocumentLimits(
            tokens=settings.max_query_tokens,
            depth=settings.max_query_depth,
            aliases=settings.max_query_aliases,
            root_fields=settings.max_query_aliases,
        ),
        settings.document_cache_size,
        Resolvers(publish, subscribe, search, answer, searched),
        introspection=settings.introspection,
        listed=listed,
        only_listed=only_listed,
    )


def _listed(settings: Settings) -> dict[str, str] | None:
    file = settings.documents_file
    return None if file is None else read_document_list(file)
