"""What is known of a table while it is being compiled. Parts that could not be read are None; whatever needs them is then left unsaid."""

from dataclasses import dataclass, field

from compiler.node import Node
from compiler.problems import Problems
from shared.spec.environment import Role
from shared.spec.lake import LEVELS, History, Layer, Load, Mask, Relationship, Rule, Source

LAYERS: tuple[Layer, ...] = ("bronze", "silver", "gold")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftColumn:
    """A column as its contract has it."""

    name: str
    type: str | None  # None: refused
    required: bool
    unique: bool
    key_position: int | None
    partition_position: int | None
    classification: str | None
    mask: Mask | None
    node: Node

    @property
    def level(self) -> int:
        return LEVELS.index(self.classification) if self.classification in LEVELS else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFile:
    """A `.sql` file: the path to name in messages, and its text."""

    file: str
    text: str


@dataclass(slots=True, kw_only=True)
class Draft:
    """A table between its files and its compiled form; filled from top to bottom."""

    layer: Layer
    stem: str
    file: str  # as messages name it
    place: str  # as lake.json names it: the same wherever the folder lies
    root: Node
    problems: Problems
    sql: SqlFile | None = None
    affected: SqlFile | None = None
    title: str = ""
    version: str = ""
    owner: str = ""
    domain: str = ""
    readers: tuple[Role, ...] = ()
    columns: tuple[DraftColumn, ...] | None = None  # None: not all could be read
    load: Load | None = None
    options: Node  # the table's `sluice` block
    group: str = "main"
    zorder: tuple[str, ...] = ()
    source: Source | None = None
    origin: str | None = None
    sequence: str | None = None
    delete_when: str | None = None
    history: History | None = None
    inputs: tuple[str, ...] = ()
    relationships: tuple[tuple[Relationship, Node], ...] = ()
    rules: tuple[Rule, ...] = ()
    lineage: dict[str, tuple[str, ...]] = field(default_factory=dict)  # column -> "layer.table.column"; a missing column is not known

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.stem}"

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self.columns is None else tuple(column.name for column in self.columns)

    @property
    def key(self) -> tuple[str, ...]:
        keyed = [column for column in self.columns or () if column.key_position is not None]
        return tuple(column.name for column in sorted(keyed, key=lambda column: column.key_position or 0))

    def column(self, name: str) -> DraftColumn | None:
        return next((column for column in self.columns or () if column.name == name), None)
