"""Which objects may be touched, and how their store is reached: by the operator's word alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from telecine_worker.failure import AttemptFailed
from telecine_worker.storage.store_client import connect
from telecine_worker.storage.store_places import StoreRoots, parse_place, parse_store_root

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("uri", ["s3://bucket/in", "s3://bucket/in/a", "s3://bucket/in/a/b%20c", "gs://other/any"])
def test_what_is_below_a_root_is_reached(uri):
    """The root itself, and everything under it; its URI comes back as it was."""
    roots = StoreRoots(map(parse_store_root, ["s3://bucket/in/", "gs://other"]))
    assert uri == str(roots.locate(uri, "input main"))


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/input", "s3://bucket", "s3://bucket/out/x", "s3://other/in/x", "gs://bucket/in/x", "az://bucket/in"],
)
def test_what_is_beside_a_root_is_refused(uri):
    """A prefix is one of parts, not of letters; bucket and kind of store count. The refusal names the roots."""
    roots = StoreRoots([parse_store_root("s3://bucket/in")])
    with pytest.raises(AttemptFailed, match=r"input main: .* is not below a store root .s3://bucket/in.") as error:
        roots.locate(uri, "input main")
    assert "PATH_NOT_ALLOWED" == error.value.failure.reason


def test_without_roots_everything_is_refused():
    """The default."""
    with pytest.raises(AttemptFailed, match="none are configured"):
        StoreRoots().locate("s3://bucket/x", "output")


@pytest.mark.parametrize(
    "text", ["bucket", "s3:bucket", "http://bucket/x", "s3://", "s3://Bucket", "s3://bucket/a//b", "s3://b"]
)
def test_a_root_that_is_none_is_refused_with_an_example(text):
    """By whoever reads the settings."""
    with pytest.raises(ValueError, match=r"is no store root; s3://BUCKET/PREFIX"):
        parse_store_root(text)


def test_a_key_that_no_store_takes_is_refused():
    """More than 1024 bytes, after its percent signs are resolved."""
    parse_place("s3://bucket/" + "%C3%A9" * 512, "input main")
    with pytest.raises(AttemptFailed, match="more than 1024 bytes"):
        parse_place("s3://bucket/" + "%C3%A9" * 513, "input main")


def test_a_secret_in_a_query_never_reaches_a_message():
    """It is refused without being quoted."""
    with pytest.raises(AttemptFailed) as error:
        parse_place("s3://bucket/x?X-Amz-Signature=hunter2", "input main")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("scheme", "settings", "plain"),
    [
        ("s3", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, True),
        ("s3", {"AWS_ENDPOINT_URL": "https://127.0.0.1:1"}, False),
        ("s3", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "https://127.0.0.1:1"}, False),
        ("s3", {}, False),
        ("gs", {"GOOGLE_BASE_URL": "http://127.0.0.1:1", "GOOGLE_SKIP_SIGNATURE": "true"}, True),
        ("gs", {"GOOGLE_SKIP_SIGNATURE": "true", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, False),
        ("az", {"AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:1", "AZURE_STORAGE_ACCOUNT_NAME": "a"}, True),
        ("az", {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURE_STORAGE_ACCOUNT_NAME": "a"}, True),
        ("az", {"AZURE_STORAGE_ACCOUNT_NAME": "a"}, False),
    ],
)
def test_plain_http_is_spoken_where_the_operator_said_so(monkeypatch, scheme, settings, plain):
    """By an endpoint of this kind of store, and by no other setting."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = connect(scheme, "bucket", request=MINUTE, silence=MINUTE)
    assert client.client_options is not None
    assert plain == (str(client.client_options.get("allow_http", False)).lower() == "true")
