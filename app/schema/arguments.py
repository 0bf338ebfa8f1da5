"""Arguments that many root fields have."""

from typing import Annotated, TypeAlias, TypeVar

import strawberry
from strawberry import UNSET

__all__ = ["ProjectId", "WidgetId", "given"]

Argument = TypeVar("Argument")

ProjectId: TypeAlias = Annotated[
    strawberry.ID,
    strawberry.argument(description="The project: 1 to 64 characters of A-Z a-z 0-9 _ . -"),
]
WidgetId: TypeAlias = Annotated[
    strawberry.ID,
    strawberry.argument(description="The widget: 1 to 64 characters of A-Z a-z 0-9 _ . -"),
]


def given(argument: Argument | None) -> Argument | None:
    """Return an optional argument: one that was not sent, and one that is null, mean the same."""
    return None if argument is UNSET else argument
