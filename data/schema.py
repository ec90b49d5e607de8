"""The SQLite schema, as a chain of sqlite-utils migrations, and the rows every new database starts with.

Amounts are integers of minor units (cents). Times are integers of microseconds since the epoch, UTC, except the
buckets of rollups, which are seconds. ``level_rank`` is 0 for no alert and 1 to 4 for LOW to CRITICAL.
"""

from sqlite_utils import Database, Migrations

from data.errors import SchemaTooNewError, StoreError
from data.models import RuleAction, RuleType

migrations = Migrations("sentinel")

_TRANSACTIONS = """
CREATE TABLE transactions (
    seq INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL UNIQUE,
    card_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    currency TEXT,
    event_time INTEGER NOT NULL,
    location TEXT,
    latitude REAL,
    longitude REAL,
    merchant_id TEXT,
    merchant_name TEXT,
    merchant_category TEXT,
    customer_id TEXT,
    score REAL NOT NULL CHECK (score BETWEEN 0 AND 1),
    model_score REAL NOT NULL CHECK (model_score BETWEEN 0 AND 1),
    velocity INTEGER NOT NULL,
    level_rank INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('completed', 'pending', 'declined', 'flagged')),
    late INTEGER NOT NULL CHECK (late IN (0, 1)),
    is_fraud INTEGER CHECK (is_fraud IN (0, 1)),
    scenario TEXT,
    source_id INTEGER NOT NULL REFERENCES source_positions (id)
)
"""

_ALERTS = """
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL UNIQUE,
    transaction_seq INTEGER NOT NULL UNIQUE REFERENCES transactions (seq),
    card_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    score REAL NOT NULL,
    level_rank INTEGER NOT NULL CHECK (level_rank BETWEEN 1 AND 4),
    status TEXT NOT NULL DEFAULT 'new'
        CHECK (status IN ('new', 'reviewing', 'escalated', 'resolved', 'false_positive')),
    disposition TEXT
        CHECK (disposition IN ('confirmed_fraud', 'false_positive', 'inconclusive', 'customer_error')),
    reason_codes TEXT NOT NULL,
    reasons TEXT NOT NULL,
    evidence TEXT NOT NULL,
    case_id INTEGER REFERENCES cases (id),
    version INTEGER NOT NULL DEFAULT 1
)
"""

_CASES = """
CREATE TABLE cases (
    id INTEGER PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    card_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'open'
        CHECK (status IN ('open', 'investigating', 'pending_info', 'escalated', 'resolved', 'closed')),
    priority_rank INTEGER NOT NULL CHECK (priority_rank BETWEEN 1 AND 4),
    category TEXT NOT NULL,
    total_amount_minor INTEGER NOT NULL,
    potential_loss_minor INTEGER NOT NULL,
    recovered_amount_minor INTEGER NOT NULL DEFAULT 0,
    alerts INTEGER NOT NULL,
    assignee TEXT,
    escalated_to TEXT,
    disposition TEXT
        CHECK (disposition IN ('confirmed_fraud', 'false_positive', 'inconclusive', 'customer_error')),
    sla_due_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    resolved_at INTEGER,
    version INTEGER NOT NULL DEFAULT 1
)
"""

_CASE_ACTIVITIES = """
CREATE TABLE case_activities (
    id INTEGER PRIMARY KEY,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    type TEXT NOT NULL
        CHECK (type IN ('created', 'assigned', 'status_changed', 'commented', 'escalated', 'resolved')),
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    detail TEXT NOT NULL
)
"""

_CASE_COMMENTS = """
CREATE TABLE case_comments (
    id INTEGER PRIMARY KEY,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    author TEXT NOT NULL,
    at INTEGER NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('internal', 'customer')),
    text TEXT NOT NULL
)
"""

_CUSTOMERS = """
CREATE TABLE customers (
    card_id TEXT PRIMARY KEY,
    customer_id TEXT,
    transactions INTEGER NOT NULL,
    spent_minor INTEGER NOT NULL,
    alerts INTEGER NOT NULL,
    highest_score REAL NOT NULL,
    highest_level_rank INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    last_location TEXT
) WITHOUT ROWID
"""

_RULES = """
CREATE TABLE rules (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    threshold REAL NOT NULL,
    window_seconds INTEGER,
    parameter TEXT,
    weight REAL NOT NULL CHECK (weight BETWEEN 0 AND 10),
    action TEXT NOT NULL CHECK (action IN ('flag', 'block', 'alert', 'review')),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    version INTEGER NOT NULL DEFAULT 1,
    hits INTEGER NOT NULL DEFAULT 0,
    description TEXT NOT NULL
)
"""

_DEAD_LETTERS = """
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    partition TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    raw BLOB NOT NULL,
    raw_size INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (source, partition, "offset")
)
"""

_SOURCE_POSITIONS = """
CREATE TABLE source_positions (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    partition TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    watermark INTEGER,
    duplicates INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (source, partition)
)
"""

_ROLLUP = """
CREATE TABLE rollup_{period} (
    {period} INTEGER PRIMARY KEY,
    transactions INTEGER NOT NULL,
    volume_minor INTEGER NOT NULL,
    low INTEGER NOT NULL,
    medium INTEGER NOT NULL,
    high INTEGER NOT NULL,
    critical INTEGER NOT NULL,
    alert_volume_minor INTEGER NOT NULL,
    velocity_alerts INTEGER NOT NULL,
    latency_us INTEGER NOT NULL
)
"""

_ROLLUP_LATENCY = """
CREATE TABLE rollup_latency (
    hour INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    transactions INTEGER NOT NULL,
    PRIMARY KEY (hour, bucket)
) WITHOUT ROWID
"""

_ROLLUP_CATEGORY = """
CREATE TABLE rollup_category (
    day INTEGER NOT NULL,
    category TEXT NOT NULL,
    transactions INTEGER NOT NULL,
    volume_minor INTEGER NOT NULL,
    alerts INTEGER NOT NULL,
    PRIMARY KEY (day, category)
) WITHOUT ROWID
"""

_ROLLUP_REASON = """
CREATE TABLE rollup_reason (
    day INTEGER NOT NULL,
    code TEXT NOT NULL,
    alerts INTEGER NOT NULL,
    PRIMARY KEY (day, code)
) WITHOUT ROWID
"""

_CASE_NUMBERS = "CREATE TABLE case_numbers (day TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID"

_ENGINE_CHECKPOINT = """
CREATE TABLE engine_checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    state BLOB NOT NULL,
    taken_at INTEGER NOT NULL
)
"""

_USERS = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'analyst', 'viewer')),
    created_at INTEGER NOT NULL
)
"""

_SETTINGS = """
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID
"""

_INDEXES = (
    "CREATE INDEX transactions_by_card ON transactions (card_id, event_time)",
    "CREATE INDEX alerts_by_card ON alerts (card_id, event_time)",
    "CREATE INDEX alerts_by_level ON alerts (level_rank, id)",
    "CREATE INDEX alerts_by_status ON alerts (status, level_rank, id)",
    "CREATE INDEX alerts_by_case ON alerts (case_id) WHERE case_id IS NOT NULL",
    "CREATE INDEX cases_by_status ON cases (status, priority_rank)",
    "CREATE INDEX cases_by_due ON cases (sla_due_at) WHERE status NOT IN ('resolved', 'closed')",
    "CREATE UNIQUE INDEX one_active_case_per_card ON cases (card_id) WHERE status NOT IN ('resolved', 'closed')",
    "CREATE INDEX case_activities_by_case ON case_activities (case_id)",
    "CREATE INDEX case_comments_by_case ON case_comments (case_id)",
    "CREATE INDEX customers_by_risk ON customers (highest_level_rank, highest_score)",
)

DEFAULT_RULES: tuple[tuple[str, str, str, float, int | None, str | None, float, str, str], ...] = (
    (
        "velocity_burst",
        "Velocity burst",
        RuleType.VELOCITY,
        5,
        60,
        None,
        2.0,
        RuleAction.ALERT,
        "More than 5 transactions of a card in 60 seconds",
    ),
    (
        "high_amount",
        "High amount",
        RuleType.AMOUNT,
        5000,
        None,
        None,
        1.5,
        RuleAction.REVIEW,
        "An amount of 5,000 or more",
    ),
    (
        "night_hours",
        "Night hours",
        RuleType.TIME,
        5,
        None,
        "2",
        1.2,
        RuleAction.FLAG,
        "Between 02:00 and 05:00 UTC",
    ),
    (
        "anonymised_location",
        "Anonymised location",
        RuleType.LOCATION,
        1,
        None,
        None,
        2.0,
        RuleAction.ALERT,
        "The location is a VPN, a TOR exit node or a proxy",
    ),
    (
        "card_testing",
        "Card testing",
        RuleType.CARD_TESTING,
        3,
        600,
        "2.00",
        3.0,
        RuleAction.BLOCK,
        "3 or more transactions of at most 2.00 within 10 minutes",
    ),
    (
        "model_score",
        "Model score",
        RuleType.MODEL,
        0.8,
        None,
        None,
        2.0,
        RuleAction.ALERT,
        "The model's calibrated score is 0.8 or more",
    ),
    (
        "impossible_travel",
        "Impossible travel",
        RuleType.TRAVEL,
        1000,
        7200,
        None,
        3.0,
        RuleAction.ALERT,
        "Faster than 1,000 km/h between two places within 2 hours",
    ),
)


@migrations()
def m0001_first_schema(db: Database) -> None:
    """Everything the first version keeps."""
    tables = (
        _SOURCE_POSITIONS,
        _TRANSACTIONS,
        _CASES,
        _ALERTS,
        _CASE_ACTIVITIES,
        _CASE_COMMENTS,
        _CUSTOMERS,
        _RULES,
        _DEAD_LETTERS,
        _ROLLUP.format(period="minute"),
        _ROLLUP.format(period="hour"),
        _ROLLUP_LATENCY,
        _ROLLUP_CATEGORY,
        _ROLLUP_REASON,
        _CASE_NUMBERS,
        _ENGINE_CHECKPOINT,
        _USERS,
        _SETTINGS,
    )
    for statement in (*tables, *_INDEXES):
        db.execute(statement)
    columns = (
        "id",
        "name",
        "type",
        "threshold",
        "window_seconds",
        "parameter",
        "weight",
        "action",
        "description",
    )
    db.table("rules").insert_all({**dict(zip(columns, rule, strict=True)), "active": 1} for rule in DEFAULT_RULES)


_LABELS = """
CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    transaction_seq INTEGER NOT NULL REFERENCES transactions (seq),
    fraud INTEGER CHECK (fraud IN (0, 1)),
    known_at INTEGER NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('chargeback', 'disposition', 'review')),
    actor TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    applied_seq INTEGER
)
"""

_CURRENT_LABELS = """
CREATE VIEW current_labels AS
SELECT * FROM labels AS latest WHERE fraud IS NOT NULL
    AND id = (SELECT max(id) FROM labels WHERE transaction_seq = latest.transaction_seq)
"""

_REVIEW_SAMPLE = "CREATE TABLE review_sample (transaction_seq INTEGER PRIMARY KEY REFERENCES transactions (seq))"

_MODELS = """
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    version TEXT NOT NULL UNIQUE,
    card TEXT NOT NULL,
    file TEXT NOT NULL,
    figures TEXT NOT NULL,
    trained_by TEXT NOT NULL,
    trained_at INTEGER NOT NULL
)
"""

_MODEL_ROLES = """
CREATE TABLE model_roles (
    id INTEGER PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('champion', 'challenger')),
    model_id INTEGER REFERENCES models (id),
    undoes INTEGER NOT NULL CHECK (undoes IN (0, 1)),
    actor TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    applied_seq INTEGER
)
"""

_RANKER_MEMORY = """
CREATE TABLE ranker_memory (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    state BLOB NOT NULL
)
"""

_ENGINE_ORIGIN = "CREATE TABLE engine_origin (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL)"

_AUDIT_LOG = """
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
)
"""


@migrations()
def m0002_labels_and_models(db: Database) -> None:
    """Labels, the models that learn from them, and who decided what.

    Labels and roles are appended, never changed: the latest row of a transaction, or of a role, holds, and one without
    a value takes it back. ``applied_seq`` is the last transaction that the engine had scored when it took the row in.
    """
    statements = (
        _LABELS,
        _CURRENT_LABELS,
        _REVIEW_SAMPLE,
        _MODELS,
        _MODEL_ROLES,
        _RANKER_MEMORY,
        _ENGINE_ORIGIN,
        _AUDIT_LOG,
        "CREATE INDEX labels_by_transaction ON labels (transaction_seq, id)",
        "CREATE INDEX labels_to_apply ON labels (id) WHERE applied_seq IS NULL",
        "ALTER TABLE transactions ADD COLUMN amount_ratio REAL",
        "ALTER TABLE transactions ADD COLUMN challenger_score REAL",
    )
    for statement in statements:
        db.execute(statement)


_ANOMALY_MODELS = """
CREATE TABLE anomaly_models (
    id INTEGER PRIMARY KEY,
    version TEXT NOT NULL UNIQUE,
    card TEXT NOT NULL,
    served_at INTEGER NOT NULL
)
"""

_DRIFT_REFERENCES = """
CREATE TABLE drift_references (
    id INTEGER PRIMARY KEY,
    model_version TEXT NOT NULL,
    "window" TEXT NOT NULL CHECK ("window" IN ('training', 'site')),
    alert_score REAL NOT NULL,
    alert_share REAL NOT NULL,
    signals TEXT NOT NULL
)
"""

_DRIFT_REFERENCES_BY_MODEL = 'CREATE INDEX drift_references_by_model ON drift_references (model_version, "window")'

_LABELS_BY_KNOWN = "CREATE INDEX labels_by_known ON labels (known_at) WHERE fraud IS NOT NULL"

_DRIFT_DAYS = """
CREATE TABLE drift_days (
    reference_id INTEGER NOT NULL REFERENCES drift_references (id),
    day INTEGER NOT NULL,
    transactions INTEGER NOT NULL,
    alerts INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (reference_id, day)
) WITHOUT ROWID
"""


@migrations()
def m0003_drift(db: Database) -> None:
    """The anomaly models that have served, and how far each day's traffic stood from what they were calibrated on."""
    for statement in (_ANOMALY_MODELS, _DRIFT_REFERENCES, _DRIFT_REFERENCES_BY_MODEL, _DRIFT_DAYS, _LABELS_BY_KNOWN):
        db.execute(statement)


def migrate(db: Database, path: str) -> None:
    """Bring a database up to this program's schema.

    Raises:
        SchemaTooNewError: it has migrations this program does not know; nothing was changed.
        StoreError: it is another program's database; nothing was changed.
    """
    applied = migrations.applied(db)
    if not applied and set(db.table_names()) - {Migrations.migrations_table}:
        raise StoreError(f"{path} is another program's SQLite database: choose another file with --database")
    known = {migration.name for migration in migrations.pending(db)} | set(_names())
    unknown = sorted(migration.name for migration in applied if migration.name not in known)
    if unknown:
        raise SchemaTooNewError(
            f"{path} was written by a newer Sentinel TUI (schema {unknown[-1]}): "
            "upgrade this program, or choose another file with --database"
        )
    migrations.apply(db)


def _names() -> list[str]:
    empty = Database(memory=True)
    try:
        return [migration.name for migration in migrations.pending(empty)]
    finally:
        empty.close()
