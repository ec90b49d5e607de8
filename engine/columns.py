"""Which column of an input holds which field of a transaction, and which holds the ground truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from data.errors import SettingError
from data.models import Transaction

FIELDS: tuple[str, ...] = tuple(Transaction.model_fields)
REQUIRED: tuple[str, ...] = tuple(name for name, info in Transaction.model_fields.items() if info.is_required())

_EXCERPT = 80


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Where an input keeps each field. The default is an input that names them as ``Transaction`` does.

    ``columns`` maps the fields whose column has another name. ``label`` is the column of the ground truth (0 or 1),
    None to read none. ``scenario`` is the column that names the kind of fraud: it is read only together with a label,
    and may be absent from the input. ``scenario_names`` maps the values of that column which are codes.
    """

    columns: Mapping[str, str] = field(default_factory=_nothing)
    label: str | None = None
    scenario: str | None = "scenario"
    scenario_names: Mapping[str, str] = field(default_factory=_nothing)

    def column(self, name: str) -> str:
        """The input's column of a field."""
        return self.columns.get(name, name)

    def with_label(self, column: str) -> "ColumnMap":
        """The same map, reading ground truth (0 or 1) from a column."""
        return replace(self, label=column)

    @property
    def expected(self) -> tuple[str, ...]:
        """Columns that a header must have: those of required fields, those that were named, and the label's."""
        names = (*map(self.column, REQUIRED), *self.columns.values(), self.label)
        return tuple(name for name in dict.fromkeys(names) if name is not None)

    @property
    def read(self) -> tuple[str, ...]:
        """Columns that are read where they are."""
        names = (*map(self.column, FIELDS), self.label, self.scenario)
        return tuple(name for name in dict.fromkeys(names) if name is not None)


PRESETS: Mapping[str, ColumnMap] = MappingProxyType(
    {
        "platform": ColumnMap(),
        "handbook": ColumnMap(
            columns=MappingProxyType(
                {
                    "transaction_id": "TRANSACTION_ID",
                    "timestamp": "TX_DATETIME",
                    "card_id": "CUSTOMER_ID",
                    "merchant_id": "TERMINAL_ID",
                    "amount": "TX_AMOUNT",
                }
            ),
            scenario="TX_FRAUD_SCENARIO",
            scenario_names=MappingProxyType(
                {"1": "amount_over_220", "2": "compromised_terminal", "3": "compromised_card"}
            ),
        ),
    }
)


def preset(name: str) -> ColumnMap:
    """A known format by its name.

    Raises:
        SettingError: there is none of that name; lists those there are.
    """
    if name not in PRESETS:
        raise SettingError(f"there is no preset {name[:_EXCERPT]!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def parse_map(text: str, base: ColumnMap | None = None) -> ColumnMap:
    """Read ``card_id=CUSTOMER_ID,amount=TX_AMOUNT`` as a refinement of ``base``.

    Raises:
        SettingError: a part is not FIELD=COLUMN, or a field is unknown or comes twice; lists the fields.
    """
    base = base or ColumnMap()
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, column = _parse_part(part)
        if name in columns:
            raise SettingError(f"--map names the field {name!r} twice: give each of {_list_of_fields()} one column")
        columns[name] = column
    return replace(base, columns=MappingProxyType({**base.columns, **columns}))


def _parse_part(part: str) -> tuple[str, str]:
    name, _, column = (piece.strip() for piece in part.partition("="))
    if not name or not column:
        raise SettingError(
            f"--map has {part[:_EXCERPT]!r}, which is not FIELD=COLUMN: separate several by commas; "
            f"the fields are {_list_of_fields()}"
        )
    if name not in FIELDS:
        raise SettingError(f"--map names an unknown field {name[:_EXCERPT]!r}: the fields are {_list_of_fields()}")
    return name, column


def _list_of_fields() -> str:
    return ", ".join(FIELDS)
