"""Read models, one module per screen. Every function takes a reader connection and is named for what it answers."""
