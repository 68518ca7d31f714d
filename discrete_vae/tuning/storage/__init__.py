"""Where studies are kept: an SQLite file, PostgreSQL, or a gRPC proxy; and what happens when a database is away."""

from discrete_vae.tuning.storage.database import HISTORY, PatientStorage, experimental, hasten
from discrete_vae.tuning.storage.inspection import backend, heartbeat, sqlite_file
from discrete_vae.tuning.storage.locks import single_process
from discrete_vae.tuning.storage.opening import GRACE, open_storage, reached
from discrete_vae.tuning.storage.proxy import PORT, check_address, serve
from discrete_vae.tuning.storage.refusals import StorageError

__all__ = [
    "GRACE",
    "HISTORY",
    "PORT",
    "PatientStorage",
    "StorageError",
    "backend",
    "check_address",
    "experimental",
    "hasten",
    "heartbeat",
    "open_storage",
    "reached",
    "serve",
    "single_process",
    "sqlite_file",
]
