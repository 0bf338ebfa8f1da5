"""The names of settings, for texts that tell an operator which one to change.

Parts are given plain values and read no settings. Where one of them refuses a value or cannot
go on without it, its text names the setting by these.
"""

from typing import Final

__all__ = [
    "ALLOWED_ORIGINS",
    "DATABASE_URL",
    "DATA_DIR",
    "DOCUMENTS_FILE",
    "HOST",
    "JWKS_URL",
    "JWT_PUBLIC_KEY",
    "METRICS_TOKEN",
    "PORT",
    "PREFIX",
    "SEARCH_MAX_SCAN",
    "STATEMENT_TIMEOUT_SECONDS",
]

PREFIX: Final = "WIDGETWIRE_"
"""Of every setting's environment variable."""

ALLOWED_ORIGINS: Final = f"{PREFIX}ALLOWED_ORIGINS"
DATABASE_URL: Final = f"{PREFIX}DATABASE_URL"
DATA_DIR: Final = f"{PREFIX}DATA_DIR"
DOCUMENTS_FILE: Final = f"{PREFIX}DOCUMENTS_FILE"
HOST: Final = f"{PREFIX}HOST"
JWKS_URL: Final = f"{PREFIX}JWKS_URL"
JWT_PUBLIC_KEY: Final = f"{PREFIX}JWT_PUBLIC_KEY"
METRICS_TOKEN: Final = f"{PREFIX}METRICS_TOKEN"
PORT: Final = f"{PREFIX}PORT"
SEARCH_MAX_SCAN: Final = f"{PREFIX}SEARCH_MAX_SCAN"
STATEMENT_TIMEOUT_SECONDS: Final = f"{PREFIX}STATEMENT_TIMEOUT_SECONDS"
