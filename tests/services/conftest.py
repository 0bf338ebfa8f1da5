"""What tests of services share."""

from tests.storage.conftest import stored

__all__ = ["stored"]
