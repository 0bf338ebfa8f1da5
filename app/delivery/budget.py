"""How much may wait in one place: so many things, and so many bytes of them."""

__all__ = ["Budget", "text_size"]


class Budget:
    """Room for things that wait. Whoever takes some gives the same back.

    Both bounds hold: small things cost by their number, large ones by their bytes.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self._items = 0
        self._bytes = 0

    @property
    def items(self) -> int:
        """How many things wait."""
        return self._items

    @property
    def bytes(self) -> int:
        """How many bytes of them."""
        return self._bytes

    def __str__(self) -> str:
        return f"{self._items} with {self._bytes} bytes"

    def take(self, size: int) -> bool:
        """Take room for one thing of `size` bytes; False, and nothing taken, where there is none.

        A thing that is larger than all the room fits while nothing else waits.
        """
        if self._items and (self._items >= self.max_items or self._bytes + size > self.max_bytes):
            return False
        self._items += 1
        self._bytes += size
        return True

    def give_back(self, size: int) -> None:
        """Free the room of one thing of `size` bytes."""
        self._items -= 1
        self._bytes -= size


def text_size(text: str) -> int:
    """Return the bytes that a text takes in memory at the most.

    Not `sys.getsizeof`: it grows when somebody encodes the text.
    """
    return len(text) if text.isascii() else 4 * len(text)
