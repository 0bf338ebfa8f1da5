"""Putting the schema together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from app.schema.operations import Mutation, Query, Subscription
from app.schema.scalars import SCALAR_MAP

__all__ = ["build_schema"]


def build_schema() -> strawberry.Schema:
    """Return the schema; `schema.graphql` in the repository is what it prints."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(scalar_map=SCALAR_MAP),
    )
