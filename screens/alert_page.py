"""The part of the alert list that is loaded. It holds still until it is told to move."""

import sqlite3

from data.queries import alerts
from data.queries.alerts import AlertFilter, AlertRow

PAGE = 200


class AlertPage:
    """Alerts that match a filter, newest first, without gaps: the newest loaded one down to the oldest loaded one."""

    def __init__(self, only: AlertFilter) -> None:
        self.only = only
        self.rows: tuple[AlertRow, ...] = ()
        self.total = 0
        """How many alerts match in all, loaded or not."""
        self.newer = 0
        """How many of them came after the newest loaded one."""

    @property
    def has_older(self) -> bool:
        """Whether there are alerts older than the loaded ones."""
        return len(self.rows) + self.newer < self.total

    def load_newest(self, reader: sqlite3.Connection) -> None:
        """Load the newest page, and forget what was loaded."""
        self.rows = alerts.latest_alerts(reader, self.only, PAGE)
        self._count(reader)

    def load_older(self, reader: sqlite3.Connection) -> None:
        """Add the next older page."""
        before = self.rows[-1].id if self.rows else None
        self.rows += alerts.latest_alerts(reader, self.only, PAGE, before_id=before)
        self._count(reader)

    def refresh(self, reader: sqlite3.Connection, first: int, count: int) -> None:
        """Read ``count`` loaded alerts from line ``first`` on again; others may have changed or taken them out.

        Alerts that came meanwhile are counted, and not loaded.
        """
        if self.rows:
            first = min(first, len(self.rows) - 1)
            fresh = alerts.latest_alerts(reader, self.only, count, before_id=self.rows[first].id + 1)
            reached = fresh[-1].id if len(fresh) == count else 0
            older = tuple(row for row in self.rows[first:] if row.id < reached)
            oldest = self.rows[-1].id
            self.rows = self.rows[:first] + tuple(row for row in fresh if row.id >= oldest) + older
        self._count(reader)

    def _count(self, reader: sqlite3.Connection) -> None:
        self.total = alerts.alert_total(reader, self.only)
        newest = self.rows[0].id if self.rows else 0
        self.newer = alerts.newer_alert_total(reader, self.only, newest) if self.rows else self.total
