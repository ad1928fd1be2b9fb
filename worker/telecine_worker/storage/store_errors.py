"""What a store's refusal means. Its own text is never repeated: it may quote a signature or the name of a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from telecine_worker.failure import AttemptFailed, permanent, retryable
from telecine_worker.storage.fetch_errors import Broken

_STATUS = re.compile(r"status code: ([0-9]{3})")
_PASSING = frozenset({408, 425, 429})


class StoreRefusal(Exception):
    """The store answered, and said no; asking again would not help. One of the classes below, or itself."""


class Missing(StoreRefusal):
    """There is no such object, or no such bucket."""


class Denied(StoreRefusal):
    """The worker's credentials do not allow it."""


class Changed(StoreRefusal):
    """It is not the version that was asked for."""


class Taken(StoreRefusal):
    """Something is there already."""


@contextmanager
def translated() -> Iterator[None]:
    """What goes wrong within is raised as a StoreRefusal, or as Broken where another try may do better."""
    # Loaded by whoever has a store; a worker that has none does not pay for it.
    from obstore import exceptions  # noqa: PLC0415

    try:
        yield
    except FileNotFoundError:
        raise Missing("is not there") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise Denied("is refused to the credentials of this worker") from None
    except (exceptions.PreconditionError, exceptions.NotModifiedError):
        raise Changed("is another version") from None
    except exceptions.AlreadyExistsError:
        raise Taken("is there already") from None
    except TimeoutError:
        raise Broken("did not answer in time") from None
    except exceptions.BaseError as error:
        raise _by_status(str(error)) from None


def _by_status(text: str) -> Exception:
    match = _STATUS.search(text)
    if match is None:
        return Broken("could not be reached, or broke off")
    status = int(match[1])
    if status in (401, 403):
        return Denied("is refused to the credentials of this worker")
    if 400 <= status < 500 and status not in _PASSING:
        return StoreRefusal(f"answered {status}")
    # Redirects as well: those to another region are the operator's to follow, by the worker's settings.
    return Broken(f"answered {status}")


def read_failure(refusal: StoreRefusal, what: str) -> AttemptFailed:
    """For an input; *what* names it and its place."""
    if isinstance(refusal, Missing):
        return permanent("INPUT_NOT_FOUND", f"{what}: there is no such object")
    if isinstance(refusal, Denied):
        return permanent(
            "INPUT_DENIED", f"{what} is refused to this worker's credentials, or is not there and may not be listed"
        )
    return permanent("INPUT_UNREADABLE", f"{what} {refusal}")


def write_failure(error: StoreRefusal | Broken, what: str) -> AttemptFailed:
    """For an output; *what* names it."""
    if isinstance(error, Broken):
        return retryable("OUTPUT_UNAVAILABLE", f"{what}: the store {error}")
    if isinstance(error, Denied):
        return permanent(
            "OUTPUT_DENIED",
            f"{what} is refused to this worker's credentials, which have to read, write, list and delete below the output",
        )
    if isinstance(error, Missing):
        return permanent("OUTPUT_NOT_WRITABLE", f"{what}: there is no such bucket")
    return permanent("OUTPUT_NOT_WRITABLE", f"{what}: the store {error}")
