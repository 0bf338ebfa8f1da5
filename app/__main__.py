"""`python -m app`: the same as `widgetwire`."""

from app.cli import main

main()
