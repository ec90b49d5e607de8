"""The audit command: the log of what analysts did, its check, and the anchor to keep elsewhere."""

from contextlib import closing
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data import audit as log
from data.errors import StoreError
from sentinel_tui.command_options import DatabaseOption, JsonOption, SetOption, existing_store, flags
from sentinel_tui.plain_text import printable
from sentinel_tui.settings import load_settings

SHOWN = 20


def audit(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest acts to show.")] = SHOWN,
    as_json_object: JsonOption = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
) -> None:
    """Check the audit log from its first entry on, and show the newest acts and the last hash, to keep elsewhere."""
    store = existing_store(load_settings(flags(overrides)).values, database)
    with closing(store.reader()) as reader:
        broken, entries = log.first_broken(reader), log.latest_entries(reader, limit)
    if broken is not None:
        raise StoreError(f"the audit log of {store.path} is edited, cut or out of order from entry {broken} on")
    head = entries[0] if entries else None
    if as_json_object:
        print(orjson.dumps(_value(entries, head)).decode())
        return
    table = Table(box=None, pad_edge=False)
    for column in ("entry", "when (UTC)", "who", "what", "on", "before", "after"):
        table.add_column(column)
    for entry in entries:
        act = entry.act
        cells = (act.actor, act.action, act.subject, act.before or "", act.after or "")
        table.add_row(str(entry.id), f"{entry.at:%Y-%m-%d %H:%M:%S}", *(Text(printable(cell)) for cell in cells))
    console = Console()
    console.print(table)
    if head is None:
        console.print("Nothing has been decided in this database yet.")
    else:
        console.print(f"{head.id:,} entries, the chain holds. Keep its head elsewhere: only that shows a cut end.")
        console.print(f"{head.id} {head.hash}", soft_wrap=True)


def _value(entries: tuple[log.AuditEntry, ...], head: log.AuditEntry | None) -> dict[str, object]:
    return {
        "entries": 0 if head is None else head.id,
        "head": None if head is None else head.hash,
        "latest": [
            {
                "id": entry.id,
                "at": entry.at.isoformat(),
                "actor": entry.act.actor,
                "action": entry.act.action,
                "subject": entry.act.subject,
                "before": entry.act.before,
                "after": entry.act.after,
            }
            for entry in entries
        ],
    }
