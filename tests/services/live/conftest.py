"""What tests of live results share."""

from tests.storage.conftest import stored

__all__ = ["stored"]
