"""A storage behind a gRPC proxy, for workers that cannot reach its database."""

from __future__ import annotations

import functools
import importlib
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy

from discrete_vae.errors import InputError
from discrete_vae.secrets import redact_secrets, redact_url
from discrete_vae.tuning.storage.database import experimental, wrapped
from discrete_vae.tuning.storage.refusals import UNREADABLE, StorageError, unusable

PORT = 13000
"""The port at which a proxy listens."""


def check_address(host: str, port: int) -> None:
    """Raise ``InputError`` for an address at which this machine cannot listen."""
    try:
        if not host.strip():
            raise ValueError("it is empty")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as probe:
            probe.bind((found[0][4][0], 0))
    except (OSError, ValueError) as error:
        raise InputError(f"a proxy cannot listen at host {host!r} ({error}); give localhost or 0.0.0.0") from error


def serve(storage: BaseStorage, host: str, port: int) -> None:
    """Serve a storage by gRPC until the process ends. Raises ``InputError`` where the address is taken."""
    logging.getLogger("grpc._server").addFilter(_briefly)
    try:
        with experimental():
            optuna.storages.run_grpc_proxy_server(storage, host=host, port=port)
    except ImportError:
        raise InputError("a proxy needs grpcio and protobuf; pip install 'discrete-vae[studies]'") from None
    except RuntimeError as error:
        raise InputError(f"a proxy cannot listen at {host}:{port} ({error}); give another --host or --port") from error


def _briefly(record: logging.LogRecord) -> bool:
    """Shorten gRPC's log of a storage's refusal to a line; the caller gets the error, too."""
    record.exc_info = record.exc_text = None
    return True


class ProxiedStorage(GrpcStorageProxy):
    """A storage behind a proxy; what the proxy or its storage refuses is a ``StorageError``."""


def _proxied(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: ProxiedStorage, *args: Any, **kwargs: Any) -> Any:
        grpc = importlib.import_module("grpc")
        shown = f"grpc://{self._host}:{self._port}"
        try:
            return method(self, *args, **kwargs)
        except grpc.RpcError as error:
            code, told = getattr(error, "code", lambda: None)(), getattr(error, "details", lambda: None)()
            if code == grpc.StatusCode.UNAVAILABLE or told is None:
                raise StorageError(f"{shown}: the proxy has gone; start it again, then the same command") from error
            told = redact_secrets(" ".join(str(told).removeprefix("Exception calling application: ").split()))
            raise StorageError(f"{shown}: {told}") from error
        except UNREADABLE as error:
            if isinstance(error, InputError | KeyError):
                raise
            raise unusable(shown, error) from error

    return call


wrapped(ProxiedStorage, _proxied)


def connect(url: str) -> BaseStorage:
    """The storage behind the proxy at ``grpc://host:port``. Raises ``InputError`` where none answers."""
    shown = redact_url(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, PORT if parts.port is None else parts.port
        if not host or not port or "@" in url or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError
        with experimental():
            storage = ProxiedStorage(host=f"[{host}]" if ":" in host else host, port=port)
        storage.wait_server_ready(timeout=30)
    except ValueError:
        raise InputError(f"storage {shown!r} cannot be read; give grpc://host:port") from None
    except ImportError:
        raise InputError(f"storage {shown!r} needs grpcio and protobuf; pip install 'discrete-vae[studies]'") from None
    except ConnectionError:
        raise InputError(
            f"storage {shown!r} does not answer; start one: python -m studies proxy --storage URL"
        ) from None
    print(
        f"{shown}: a proxy is not waited for if it goes away, and passes no signs of life on, so that a trial "
        "whose worker is killed stays RUNNING; "
        "`python -m studies clean NAME --stale` beside the database takes it up again",
        file=sys.stderr,
    )
    return storage
