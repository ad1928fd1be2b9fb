"""How a bucket is connected to: by what obstore reads from the worker's environment, and by nothing that a spec says.

AWS_*, GOOGLE_* and AZURE_* have credentials, region and endpoint; see obstore's S3Config, GCSConfig and AzureConfig. A plain
http:// endpoint is spoken to only where the operator has set one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

    Client = AzureStore | GCSStore | S3Store

_ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_PREFIXES: Mapping[str, str] = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_CONNECT = timedelta(seconds=10)
# A part that was cut is sent again: nothing of it is visible. What is visible is repeated by whoever may decide so.
_RETRIES: RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(minutes=5),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2},
}
_NO_RETRIES: RetryConfig = {"max_retries": 0}
# For AWS, which knows it since 2025. A store that does not know it overwrites; whoever copies has looked before.
_COPY_IF_NOT_EXISTS = "header:If-None-Match:*"


class StoreSettingsRefused(Exception):
    """No client can be made of what the operator has set."""


def check_settings(scheme: str, bucket: str) -> None:
    """Raise StoreSettingsRefused, which names the variables and none of their values."""
    from obstore import exceptions  # noqa: PLC0415 - see store_errors

    try:
        connect(scheme, bucket, request=_CONNECT)
    except (exceptions.BaseError, ValueError):
        prefix = _PREFIXES[scheme]
        names = ", ".join(sorted(name for name in os.environ if name.startswith(prefix))) or "none"
        raise StoreSettingsRefused(
            f"TELECINE_STORE_ROOTS names {scheme}://{bucket}, which cannot be used with the settings {prefix}* of the "
            f"environment: credentials, account or endpoint are missing or malformed (set: {names})"
        ) from None


def connect(
    scheme: str, bucket: str, *, request: timedelta, silence: timedelta | None = None, again: bool = False
) -> Client:
    """A client of *bucket*. *request* bounds one request with its body, *silence* the time without a byte of an answer, which
    counts while a body is sent, too. *again*: requests that failed in passing are repeated.
    """
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415 - see store_errors

    options: ClientConfig = {"timeout": request, "connect_timeout": _CONNECT, "allow_http": _is_plain(scheme)}
    if silence is not None:
        options["read_timeout"] = silence
    retries = _RETRIES if again else _NO_RETRIES
    if scheme == "gs":
        return GCSStore(bucket, client_options=options, retry_config=retries)
    if scheme == "az":
        return AzureStore(bucket, client_options=options, retry_config=retries)
    copying = os.environ.get("AWS_COPY_IF_NOT_EXISTS", _COPY_IF_NOT_EXISTS)
    return S3Store(bucket, copy_if_not_exists=copying, client_options=options, retry_config=retries)


def _is_plain(scheme: str) -> bool:
    """Whether the endpoint that counts is an http:// one."""
    named = (os.environ.get(name, "") for name in _ENDPOINTS[scheme])
    endpoint = next(filter(None, named), "")
    emulated = scheme == "az" and os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true")
    return endpoint.lower().startswith("http://") or emulated
