"""Errors that are shown to a user as one line: what was wrong, where, and what to do."""


class SentinelError(Exception):
    """A failure the user can act on. Its text is complete: what, where, what to do."""


class SettingError(SentinelError):
    """A setting is unknown or its value is out of range."""


class SourceError(SentinelError):
    """A source of transactions cannot be read."""


class StoreError(SentinelError):
    """The database cannot be opened, read or written."""


class SchemaTooNewError(StoreError):
    """The database was written by a newer version of the program."""


class StoreLockedError(StoreError):
    """Another process holds the lock that was asked for."""


class ModelError(SentinelError):
    """A model file is damaged, foreign, or of an incompatible version."""


class ModelOutdatedError(ModelError):
    """A model file is sound, and of an earlier format than this program reads."""


class RescoringError(SentinelError):
    """A stored alert cannot be scored again as it was."""
