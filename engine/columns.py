"""Which column of an input holds which field of a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from data.errors import SettingError
from data.models import Transaction

FIELDS: tuple[str, ...] = tuple(Transaction.model_fields)
REQUIRED: tuple[str, ...] = tuple(name for name, info in Transaction.model_fields.items() if info.is_required())


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Field name to column name, where they differ; the columns of ground truth; names of coded scenarios.

    ``scenario`` is read only together with ``label``.
    """

    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    label: str | None = None
    scenario: str | None = None
    scenario_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def column(self, name: str) -> str:
        """The input's column of a field."""
        return self.columns.get(name, name)

    def with_label(self, column: str) -> "ColumnMap":
        """The same map, reading ground truth (0 or 1) from a column."""
        return replace(self, label=column)


PRESETS: Mapping[str, ColumnMap] = MappingProxyType(
    {
        "platform": ColumnMap(scenario="scenario"),
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
        raise SettingError(f"there is no preset {name[:80]!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def parse_map(text: str, base: ColumnMap | None = None) -> ColumnMap:
    """Read ``card_id=CUSTOMER_ID,amount=TX_AMOUNT`` as a refinement of ``base``.

    Raises:
        SettingError: a part is not FIELD=COLUMN, a field is unknown or comes twice; lists the fields.
    """
    base = base or ColumnMap(scenario="scenario")
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise SettingError(f"--map has {part[:80]!r}: write FIELD=COLUMN, separated by commas")
        if name not in FIELDS:
            raise SettingError(
                f"--map names the field {name[:80]!r}, which there is not: the fields are {', '.join(FIELDS)}"
            )
        if name in columns:
            raise SettingError(f"--map names the field {name!r} twice: give one column for each field")
        columns[name] = column
    return replace(base, columns=MappingProxyType({**base.columns, **columns}))
