"""A caller's token: where it comes from, and that nobody sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

from grpc import StatusCode

from telecine_client.errors import Unauthenticated

_TOKEN = re.compile(r"[\x21-\x7e]+")


class Token:
    """Goes with every call as "authorization: Bearer TOKEN". Is never shown, in whatever form this is printed."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for what cannot stand in a header."""
        if not _TOKEN.fullmatch(text):
            raise ValueError(
                "the token is empty or has characters other than visible ASCII; give it without spaces or line breaks"
            )
        self._text = text

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with a call that begins now."""
        return (("authorization", f"Bearer {self._text}"),)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled or copied: it would be readable in what comes out; give it again there")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class TokenFile(Token):
    """Read again when the file has changed, so that a token may be renewed while the client lives."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ValueError when the file cannot be read or holds no token."""
        self._path = Path(path)
        self._version: tuple[int, int, int] | None = None
        try:
            self._renew()
        except OSError as wrong:
            raise ValueError(f"the token file {self._path} cannot be read: {wrong.strerror}") from wrong

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with a call that begins now. Raises Unauthenticated when the file is gone or holds no token."""
        try:
            self._renew()
        except (OSError, ValueError) as wrong:
            reason = wrong.strerror if isinstance(wrong, OSError) else str(wrong)
            message = f"the token file {self._path} cannot be read: {reason}"
            raise Unauthenticated(message, code=StatusCode.UNAUTHENTICATED) from wrong
        return super().metadata()

    def _renew(self) -> None:
        """Read it unless it is what was read last. Raises OSError or ValueError, every time until there is a token again."""
        # The version is taken first: a file that changes in between is read once too often, never once too little.
        version = _version(self._path)
        if version != self._version:
            super().__init__(self._path.read_text(errors="replace").strip())
            self._version = version


def _version(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return (facts.st_mtime_ns, facts.st_ino, facts.st_size)
