"""What a worker keeps between its lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from telecine_worker.config import WORKER_ID
from telecine_worker.work_dir import WorkDir, WorkDirBusy


def test_an_id_is_made_once(tmp_path: Path) -> None:
    """The next life has the same one."""
    with WorkDir(tmp_path / "new") as work_dir:
        made = work_dir.worker_id()
    with WorkDir(tmp_path / "new") as work_dir:
        assert (made, True) == (work_dir.worker_id(), bool(WORKER_ID.fullmatch(made)))


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"\xff\xff", b"x" * 64])
def test_a_damaged_id_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """A power cut can leave an empty file; every scheduler would refuse it for ever."""
    (tmp_path / "worker-id").write_bytes(content)
    with WorkDir(tmp_path) as work_dir:
        made = work_dir.worker_id()
        assert WORKER_ID.fullmatch(made)
        assert made == work_dir.worker_id()


def test_one_worker_at_a_time(tmp_path: Path) -> None:
    """The second one is told, and the first one's end lets it in."""
    with WorkDir(tmp_path), pytest.raises(WorkDirBusy, match="TELECINE_WORK_DIR"), WorkDir(tmp_path):
        raise AssertionError
    with WorkDir(tmp_path):
        pass
