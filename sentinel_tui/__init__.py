"""Sentinel TUI: the command line, the settings, the app shell and the wiring."""

from importlib.metadata import version

__version__ = version("sentinel-tui")
