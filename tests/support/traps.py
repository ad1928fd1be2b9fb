"""What an attack would reach: listeners that count who calls, and files that somebody else keeps secret."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

SECRET = "words-that-nobody-may-read"


class Traps:
    """From entering to leaving: *port* listens for TCP and UDP on 127.0.0.1; *vault* holds secrets."""

    def __init__(self, folder: Path, film: Path) -> None:
        self.vault = folder / "vault"
        self.vault.mkdir(mode=0o700)
        (self.vault / "secret.txt").write_text(f"{SECRET}\n")
        (self.vault / "secret.srt").write_text(f"1\n00:00:00,000 --> 00:00:10,000\n{SECRET}\n")
        (self.vault / "secret.mkv").write_bytes(film.read_bytes())
        self._before = self._content()
        self._hits: list[str] = []
        self._heard = threading.Condition()

    def __enter__(self) -> Self:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=each) for each in (self._serve, self._hear)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tcp.shutdown(socket.SHUT_RDWR)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.sendto(b"", ("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join()
        self._tcp.close()
        self._udp.close()

    def hits(self) -> list[str]:
        """Who has called until now: our own call comes after those."""
        with socket.create_connection(("127.0.0.1", self.port)) as own:
            self._wait_for(str(own.getsockname()[1]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"own", ("127.0.0.1", self.port))
            self._wait_for(str(own.getsockname()[1]))
        return list(self._hits)

    def changes(self) -> list[str]:
        """What has happened to the vault."""
        after = self._content()
        return sorted(name for name in self._before.keys() | after.keys() if self._before.get(name) != after.get(name))

    def reset(self) -> None:
        """Forget the calls, and bring the vault into order."""
        self._hits.clear()
        for name in self.changes():
            if name in self._before:
                (self.vault / name).write_bytes(self._before[name])
            else:
                (self.vault / name).unlink()

    def _content(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.vault)): path.read_bytes() for path in self.vault.rglob("*") if path.is_file()
        }

    def _wait_for(self, port: str) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: port in self._hits, timeout=20)
            self._hits.remove(port)

    def _note(self, caller: tuple[str, int]) -> None:
        with self._heard:
            self._hits.append(str(caller[1]))
            self._heard.notify_all()

    def _serve(self) -> None:
        while True:
            try:
                connection, caller = self._tcp.accept()
            except OSError:
                return
            connection.close()
            self._note(caller)

    def _hear(self) -> None:
        while True:
            words, caller = self._udp.recvfrom(65536)
            if not words:
                return
            self._note(caller)
