"""Two analysts, in two processes, settle the same alerts at the same time."""

import json
import os
import subprocess
import sys
from pathlib import Path

from data import audit
from data.models import RiskLevel

from .builders import World, scored

ALERTS = 60
DISPOSE_ALL = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from data.dispositions import ChangedMeanwhileError, DispositionWriter
from data.models import Disposition
from data.store import Store

path, analyst, disposition, alerts = sys.argv[1:]
writer = DispositionWriter(Store(Path(path)), analyst)
print("ready", flush=True)
sys.stdin.readline()
won = []
for alert_id in range(1, int(alerts) + 1):
    try:
        writer.dispose_alert(alert_id, 1, Disposition(disposition), datetime(2026, 3, 14, 13, tzinfo=UTC))
    except ChangedMeanwhileError:
        continue
    won.append(alert_id)
print(json.dumps(won))
"""


def analyst(path: Path, name: str, disposition: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", DISPOSE_ALL, str(path), name, disposition, str(ALERTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_each_alert_is_settled_by_one_of_two_analysts_and_the_other_is_told(world: World) -> None:
    world.add(*(scored(f"t-{n}", level=RiskLevel.LOW) for n in range(ALERTS)))
    analysts = {
        name: analyst(world.store.path, name, disposition)
        for name, disposition in (("ana", "confirmed_fraud"), ("bob", "false_positive"))
    }
    for process in analysts.values():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    won = {name: json.loads(process.communicate(timeout=60)[0]) for name, process in analysts.items()}
    assert sorted(won["ana"] + won["bob"]) == list(range(1, ALERTS + 1))
    settled = world.reader.execute("SELECT id, disposition, version FROM alerts").fetchall()
    assert settled == [(n, "confirmed_fraud" if n in won["ana"] else "false_positive", 2) for n in range(1, ALERTS + 1)]
    labels = world.reader.execute("SELECT transaction_seq, fraud, actor FROM current_labels ORDER BY 1").fetchall()
    assert labels == [(n, int(n in won["ana"]), "ana" if n in won["ana"] else "bob") for n in range(1, ALERTS + 1)]
    assert len(audit.latest_entries(world.reader, 10 * ALERTS)) == ALERTS
    assert audit.first_broken(world.reader) is None
