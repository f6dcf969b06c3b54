"""Why the store cannot be used at start. Each text says what to do; the operator reads it, nobody else."""


class StoreSetupError(Exception):
    """The program cannot start with this store. `str()` is one text with the mend."""


class AlreadyRunningError(StoreSetupError):
    """Another living program has this data folder."""


class FolderError(StoreSetupError):
    """The data folder cannot be used: missing rights, not a folder, somebody else's."""


class DiskFullError(StoreSetupError):
    """There is no room for the append-only file."""


class PortTakenError(StoreSetupError):
    """The TCP port that was asked for belongs to somebody else."""


class CorruptLogError(StoreSetupError):
    """The append-only file does not load."""


class ServerFailedError(StoreSetupError):
    """The embedded server ended for a reason that has no name here; its last log lines are in the text."""


class UnreachableError(StoreSetupError):
    """Nobody answers at the address, or the password is wrong."""


class UnsuitableError(StoreSetupError):
    """A server answers that must not be used: too old, a cluster, a replica, evicting keys."""


class NotPersistentError(UnsuitableError):
    """The server keeps no append-only file: a restart would lose approvals and messages."""
