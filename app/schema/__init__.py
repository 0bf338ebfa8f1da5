"""The GraphQL schema: the contract's types over the services."""

from app.schema.build import build_schema

__all__ = ["build_schema"]
