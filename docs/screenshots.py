"""Makes the README's screenshots: the app itself, on a database that `sentinel-tui --demo` filled."""

import argparse
import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data.store import Store
from screens.workbench import Standing
from sentinel_tui.app import SentinelApp

SIZE = (120, 36)
SCREENS = (
    ("dashboard", "1"),
    ("alerts", "2"),
    ("cases", "3"),
    ("analytics", "4"),
    ("customers", "5"),
    ("model", "6"),
    ("review", "r"),
)


def last_commit(database: Path) -> datetime:
    """A little after the demo ended, so that the time left of each case shows."""
    with sqlite3.connect(database) as connection:
        (opened,) = connection.execute("SELECT max(opened_at) FROM cases").fetchone()
    return datetime.fromtimestamp(opened / 1e6, UTC) + timedelta(minutes=12)


async def take(database: Path, folder: Path) -> None:
    """One SVG for each screen, and one for the first critical alert's detail."""
    now = last_commit(database)
    app = SentinelApp(Store.open(database), None, lambda: now, Standing.VIEWING)
    async with app.run_test(size=SIZE) as pilot:
        for name, key in SCREENS:
            await pilot.press(key)
            await pilot.pause(0.5)
            app.save_screenshot(f"{name}.svg", str(folder))
        await pilot.press("2", "l", "l", "l", "l")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.5)
        app.save_screenshot("alert.svg", str(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    asyncio.run(take(arguments.database, arguments.folder))


if __name__ == "__main__":
    main()
