"""``python -m sentinel_tui``."""

from sentinel_tui.cli import main

if __name__ == "__main__":
    main()
