"""The headers of every page: what it may load (its own origin only), and who may frame it."""

from typing import Final

__all__ = ["DEMO_HEADERS", "GRAPHIQL_HEADERS"]

_COMMON: Final = {
    # A page is small and names hashed files: asking again each time costs one 304.
    "Cache-Control": "no-cache",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def _policy(**sources: str) -> str:
    given = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        # Sockets of the same host included.
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        # A token may be typed in here: no other page may lay itself over it.
        "frame-ancestors": "'none'",
        **{name.replace("_", "-"): value for name, value in sources.items()},
    }
    return "; ".join(f"{name} {value}" for name, value in given.items())


DEMO_HEADERS: Final = {**_COMMON, "Content-Security-Policy": _policy()}

GRAPHIQL_HEADERS: Final = {
    **_COMMON,
    # Monaco writes style elements for its themes and positions, and runs its languages in workers.
    "Content-Security-Policy": _policy(style_src="'self' 'unsafe-inline'", worker_src="'self'"),
}
