"""Domain models, the SQLite store and its queries. Imports neither the engine nor any UI library."""
