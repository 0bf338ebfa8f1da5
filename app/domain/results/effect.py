"""What a message does to a state."""

from enum import Enum

__all__ = ["Effect"]


class Effect(Enum):
    """What came of `add` or `remove`."""

    NOTHING = 0
    """The result is what it was."""
    CHANGED = 1
    """The result may be another."""
    LOST = 2
    """The state cannot tell what the result is now: it is to be read again."""
    TOO_LARGE = 3
    """A value has more than 200 values in it: to compare such ones takes too long."""
