"""What the batches of a source add up to, rejects and their replays among them. A value, without imports."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What all certified batches of a source counted: read = accepted + rejected + seen.

    Of the rejected rows `copies` repeat another row of their batch, and `replayed` were injected again, where each was read once more.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    seen: int = 0
    copies: int = 0
    replayed: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})

    @property
    def open(self) -> int:
        """Rejected rows that a replay may still inject again."""
        return self.rejected - self.copies - self.replayed

    @property
    def from_source(self) -> int:
        """Rows that windows read; what replays read was read before."""
        return self.read - self.replayed

    @property
    def holds(self) -> bool:
        """Whether every row that windows read is, once, accepted, an open reject, a copy of another row, or was seen before."""
        return self.open >= 0 and self.from_source == self.accepted + self.open + self.copies + self.seen
