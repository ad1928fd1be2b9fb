"""Storage on a real file system: nothing outside the roots is read or written, files are whole or absent."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support.fetching import network
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.storage import beneath, publishing
from telecine_worker.storage import staging as staging_module
from telecine_worker.storage.destination import StagedFile
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.file_destination import FileDestination
from telecine_worker.storage.locations import FileRoots, check_relative
from telecine_worker.storage.publishing import Publisher, WindowOver
from telecine_worker.storage.sources import Intake, Source, open_source
from telecine_worker.storage.staging import Staging, discard_older, open_staging

NAME = "t~job~1~7"


def yes() -> bool:
    """The lease holds."""
    return True


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root beside a secret that must stay out of reach."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "good.mp4").write_text("good")
    return tmp_path / "root"


def opened(roots: list[Path], uri: str, *, sha256: str = "", max_bytes: int = 1 << 30, stopped: bool = False) -> Source:
    """The input main, from below *roots*."""
    intake = Intake(roots=FileRoots(roots), network=network(), directory=Path("nowhere"), max_bytes=max_bytes)
    return open_source(intake, tenant="t", name="main", uri=uri, headers={}, sha256=sha256, stopped=lambda: stopped)


def refusal(root: Path, uri: str) -> tuple[FailureKind, str]:
    """How an input at *uri* is refused."""
    with pytest.raises(AttemptFailed) as error, opened([root], uri):
        raise AssertionError("it was opened")
    return error.value.failure.kind, error.value.failure.reason


def test_a_file_below_the_root_is_read(root):
    """With and without percent signs, with localhost as host."""
    (root / "sub" / "ä b#.mp4").write_text("good")
    for uri in ((root / "good.mp4").as_uri(), f"file://localhost{root}/good.mp4", (root / "sub" / "ä b#.mp4").as_uri()):
        with opened([root], uri) as source:
            assert b"good" == os.pread(source.fd, 10, 0)


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../secret",
        "{root}/sub/../../secret",
        "{root}/%2e%2e/secret",
        "{root}%2f..%2fsecret",
        "/etc/passwd",
        "{root}x",
        "{root}/.telecine/t~job~1~7/good.mp4",
        "{root}/sub/%2etelecine/x",
        "{root}/go\nod.mp4",
        "{root}/go\tod.mp4",
    ],
)
def test_a_path_out_of_the_root_is_refused(root, path):
    """Dots, encoded or not, other places, a neighbour whose name begins alike, what attempts have not published yet, and
    characters that taking a URI apart drops.
    """
    assert (FailureKind.PERMANENT, "PATH_NOT_ALLOWED") == refusal(root, "file://" + path.format(root=root))


@pytest.mark.parametrize("link", ["link", "sub/link", "links/secret", "absolute"])
def test_symbolic_links_are_refused(root, link, tmp_path):
    """To a file, from below, through a folder, absolute: even to a file inside the root."""
    (root / "link").symlink_to("good.mp4")
    (root / "sub" / "link").symlink_to("../../secret")
    (root / "links").symlink_to("..")
    (root / "absolute").symlink_to(tmp_path / "secret")
    assert (FailureKind.PERMANENT, "PATH_NOT_ALLOWED") == refusal(root, (root / link).as_uri())


def test_what_is_no_regular_file_is_refused_at_once(root):
    """A FIFO without a writer does not block; folders, sockets and the root itself are no files."""
    os.mkfifo(root / "fifo")
    for path in ("fifo", "sub", "."):
        assert (FailureKind.PERMANENT, "INPUT_UNREADABLE") == refusal(root, f"file://{root}/{path}".removesuffix("/."))


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "s3://h/x",
            "file:relative",
            "file://host/x",
            "file:///x?y",
            "file:///x#y",
            "file:///a//b",
            "file:///a/./b",
        ),
        *(
            "file:///a%00b",
            "file:///a%ffb",
            "file:///a%ed%a0%80b",
            "FILE",
            "concat:/a|/b",
            "subfile,,:/x",
            "async:file:/x",
            "cache:http://127.0.0.1/x",
            "crypto:/x",
            "fd:3",
            "gopher://127.0.0.1/x",
            "tcp://127.0.0.1:1",
            "pipe:0",
            "data:,x",
            "file:///" + "a" * 5000,
        ),
    ],
)
def test_a_uri_that_is_no_plain_file_is_refused(root, uri):
    """Other schemes, hosts, queries, fragments, empty and dotted parts, NUL, and what no message could name: no UTF-8."""
    assert (FailureKind.PERMANENT, "PATH_NOT_ALLOWED") == refusal(root, uri)


def test_a_name_that_cannot_be_told_is_refused(root):
    """A file whose name is no UTF-8 could be opened, but no message could name it: the refusal itself is plain text."""
    (Path(os.fsdecode(bytes(root) + b"/a\xff.mp4"))).touch()
    with pytest.raises(AttemptFailed, match="UTF-8") as error:
        opened([root], f"file://{root}/a%ff.mp4")
    assert "PATH_NOT_ALLOWED" == error.value.failure.reason
    assert error.value.failure.message.encode()


def test_without_roots_everything_is_refused(root):
    """The default: no file:// at all."""
    with pytest.raises(AttemptFailed, match="none are configured"):
        opened([], (root / "good.mp4").as_uri())


def test_the_checksum_of_a_query_never_reaches_a_message(root):
    """A URI with a secret in its query is refused without quoting it."""
    with pytest.raises(AttemptFailed) as error:
        opened([root], f"file://{root}/good.mp4?token=hunter2")
    assert "hunter2" not in str(error.value)


def test_the_opened_file_stays_what_it_was(root, tmp_path):
    """Replacing the path by a link after it was opened changes nothing for the reader."""
    with opened([root], (root / "good.mp4").as_uri()) as source:
        (root / "good.mp4").unlink()
        (root / "good.mp4").symlink_to(tmp_path / "secret")
        assert "good" == Path(f"/proc/self/fd/{source.fd}").read_text()


GOOD = hashlib.sha256(b"good").hexdigest()


def test_a_file_is_compared_with_its_checksum(root):
    """The right one passes, a wrong one is final and tells both, and a stop ends the reading."""
    uri = (root / "good.mp4").as_uri()
    with opened([root], uri, sha256=GOOD) as source:
        assert 4 == source.size_bytes
    with pytest.raises(AttemptFailed, match=f"INPUT_CHECKSUM_MISMATCH.*{GOOD}.*{'0' * 64}") as error:
        opened([root], uri, sha256="0" * 64)
    assert FailureKind.PERMANENT is error.value.failure.kind
    with pytest.raises(FetchStopped):
        opened([root], uri, sha256=GOOD, stopped=True)


def test_a_file_over_the_limit_is_refused_and_closed(root):
    """The limit holds for what is read in place, too, and comes before the checksum; no descriptor stays open."""
    uri = (root / "good.mp4").as_uri()
    opened([root], uri, max_bytes=4).__exit__(None, None, None)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(AttemptFailed, match=r"INPUT_OVER_LIMIT.*3 bytes \(TELECINE_INPUT_MAX_BYTES\)"):
        opened([root], uri, max_bytes=3, sha256="0" * 64)
    assert before == len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("opener", [beneath.open_beneath, beneath.walk])
def test_both_ways_to_open_give_the_same_answers(root, opener: Callable[[int, Sequence[str], int], int]):
    """The kernel's one call and the walk in its place: what passes and what is refused, and how."""
    (root / "links").symlink_to("sub")
    (root / "sub" / "deep.mp4").write_text("deep")
    directory = os.open(root, os.O_RDONLY)
    answers = []
    for parts in (("good.mp4",), ("sub", "deep.mp4"), ("links", "deep.mp4"), ("links",), ("none",), ("good.mp4", "x")):
        try:
            os.close(opener(directory, parts, os.O_RDONLY))
            answers.append("opened")
        except OSError as error:
            answers.append(os.strerror(error.errno or 0))
    os.close(directory)
    loop = "Too many levels of symbolic links"
    assert ["opened", "opened", loop, loop, "No such file or directory", "Not a directory"] == answers


@pytest.fixture
def staging(root: Path) -> Staging:
    """A staging with two files in it."""
    made = open_staging(FileRoots([root]), uri=f"file://{root}/new/out", name=NAME)
    for name in ("out-0.mp4", "out-1.mp4"):
        Path(made.cwd, name).write_text(name)
    return made


def test_staging_is_private_and_beside_the_target(root, staging):
    """<output>/.telecine/<name>/, for nobody else; the output directory was made."""
    folder = root / "new/out/.telecine" / NAME
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    assert folder == Path(staging.cwd).resolve()


def test_an_output_through_a_link_is_refused(root, tmp_path):
    """Neither the output directory nor a folder on the way may be a symbolic link."""
    (root / "out").symlink_to(tmp_path)
    for path in ("out", "out/deeper"):
        with pytest.raises(AttemptFailed, match="PATH_NOT_ALLOWED"):
            open_staging(FileRoots([root]), uri=f"file://{root}/{path}", name=NAME)
    assert ["root", "secret"] == sorted(path.name for path in tmp_path.iterdir())


def test_discarding_removes_what_is_its_own(root, staging):
    """The attempt's folder and the empty folder of stagings go; another attempt's stays."""
    staging.discard()
    staging.discard()
    assert [] == sorted(path.name for path in (root / "new/out").iterdir())
    first = open_staging(FileRoots([root]), uri=f"file://{root}/new/out", name=NAME)
    second = open_staging(FileRoots([root]), uri=f"file://{root}/new/out", name="t~job~1~8")
    first.discard()
    assert ["t~job~1~8"] == [path.name for path in (root / "new/out/.telecine").iterdir()]
    second.discard()


def test_discarding_removes_what_older_attempts_left(root, staging):
    """A killed attempt cannot clean up. Smaller tokens of the same job are dead; newer ones, and other jobs', are not."""
    folder = root / "new/out/.telecine"
    for name in ("t~job~1~3", "t~job~1~99", "t~other~1~3"):
        (folder / name).mkdir()
        (folder / name / "out-0.mp4").touch()
    staging.discard()
    assert ["t~job~1~99", "t~other~1~3"] == sorted(path.name for path in folder.iterdir())


def test_an_attempt_that_never_staged_removes_older_stagings(root, staging):
    """And makes nothing where there is nothing."""
    roots, uri = FileRoots([root]), f"file://{root}/new/out"
    discard_older(roots, uri=uri, name="t~job~1~7")
    assert [NAME] == [path.name for path in (root / "new/out/.telecine").iterdir()]
    discard_older(roots, uri=uri, name="t~job~1~8")
    assert [] == list((root / "new/out").iterdir())
    discard_older(roots, uri=f"file://{root}/no/where", name="t~job~1~8")
    assert not (root / "no").exists()


def test_what_cannot_be_removed_is_closed_all_the_same(root, staging, monkeypatch):
    """Discarding raises, and no descriptor is left open."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(staging_module.shutil, "rmtree", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(PermissionError):
        staging.discard()
    assert before - 2 == len(list(Path("/proc/self/fd").iterdir()))


def test_two_may_remove_the_same_tree(root, monkeypatch):
    """What the other one was faster with does not keep the rest from being removed."""
    tree = root / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "b").touch()
    unlink, was_faster = os.unlink, []

    def overtaken(path: str, *, dir_fd: int | None = None) -> None:
        if not was_faster:
            was_faster.append(path)
            unlink(path, dir_fd=dir_fd)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(staging_module.os, "unlink", overtaken)
    directory = os.open(root, os.O_RDONLY)
    staging_module.remove_tree(directory, "tree")
    os.close(directory)
    assert (["b"], False) == (was_faster, tree.exists())


def test_stagings_that_come_and_go_do_not_disturb_each_other(root):
    """Eight threads open and discard in one output at once: nobody fails, nothing is left."""
    errors: list[BaseException] = []

    def come_and_go(number: int) -> None:
        try:
            for turn in range(20):
                open_staging(FileRoots([root]), uri=f"file://{root}/out", name=f"t~j{number}~1~{turn}").discard()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    assert [] == list((root / "out").iterdir())


def test_publishing_replaces_in_one_step(root, staging):
    """What was there is replaced, folders on the way are made, the staged file is gone from staging."""
    (root / "new/out/a").mkdir()
    (root / "new/out/a/x.mp4").write_text("old")
    publisher = Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=yes)
    publisher.prepare("out-0.mp4", "a/x.mp4")
    publisher.publish("out-0.mp4", "a/x.mp4")
    publisher.publish("out-1.mp4", "b/c/y.mp4")
    assert "out-0.mp4" == (root / "new/out/a/x.mp4").read_text()
    assert "out-1.mp4" == (root / "new/out/b/c/y.mp4").read_text()
    assert [] == list(Path(staging.cwd).iterdir())


def test_publishing_stops_when_the_window_is_over(root, staging):
    """Not allowed: nothing becomes visible; allowed again: it does."""
    allowed = False
    publisher = Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=lambda: allowed)
    with pytest.raises(WindowOver):
        publisher.publish("out-0.mp4", "x.mp4")
    assert not (root / "new/out/x.mp4").exists()
    allowed = True
    publisher.publish("out-0.mp4", "x.mp4")
    assert (root / "new/out/x.mp4").exists()


def test_the_window_is_looked_at_before_every_visible_step(root, staging):
    """Folders are visible, too; and it may be over after they were made."""
    with pytest.raises(WindowOver):
        Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=lambda: False).publish(
            "out-0.mp4", "b/x.mp4"
        )
    assert not (root / "new/out/b").exists()
    answers = iter([True, False])
    with pytest.raises(WindowOver):
        Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=lambda: next(answers)).publish(
            "out-0.mp4", "b/x.mp4"
        )
    assert not (root / "new/out/b/x.mp4").exists()


def test_no_output_is_in_a_staging(root):
    """There a job could swap what another one has verified."""
    victim = open_staging(FileRoots([root]), uri=f"file://{root}/out", name="t~victim~1~7")
    with pytest.raises(AttemptFailed, match="PATH_NOT_ALLOWED"):
        open_staging(FileRoots([root]), uri=f"file://{root}/out/.telecine/t~victim~1~7", name="t~other~1~4")
    victim.discard()


def test_publishing_through_a_link_is_refused(root, staging, tmp_path):
    """A folder of the target that is a link leads nowhere; a file that is a link is replaced, not followed."""
    (root / "new/out/a").symlink_to(tmp_path)
    (root / "new/out/b").symlink_to(tmp_path / "secret")
    publisher = Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=yes)
    with pytest.raises(AttemptFailed, match="PATH_NOT_ALLOWED"):
        publisher.publish("out-0.mp4", "a/x.mp4")
    publisher.publish("out-0.mp4", "b")
    assert "out-0.mp4" == (root / "new/out/b").read_text()
    assert "secret" == (tmp_path / "secret").read_text()


def test_fail_takes_back_what_it_published(root, staging):
    """The second of two files appears meanwhile: the first is taken back, the foreign one stays."""
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=yes)
    publisher.check_free(["x.mp4", "y.mp4"])
    publisher.publish("out-0.mp4", "x.mp4")
    (root / "new/out/y.mp4").write_text("foreign")
    with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
        publisher.publish("out-1.mp4", "y.mp4")
    assert not (root / "new/out/x.mp4").exists()
    assert "foreign" == (root / "new/out/y.mp4").read_text()


def test_what_another_attempt_committed_is_not_taken_back(root, staging):
    """It put its own file in the place of ours, which is not ours to remove, whatever the window."""
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=yes)
    publisher.publish("out-0.mp4", "x.mp4")
    (root / "new/out/later").write_text("later")
    (root / "new/out/later").rename(root / "new/out/x.mp4")
    (root / "new/out/y.mp4").write_text("foreign")
    with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
        publisher.publish("out-1.mp4", "y.mp4")
    assert "later" == (root / "new/out/x.mp4").read_text()


def test_nothing_is_taken_back_beside_a_newer_attempt(root, staging):
    """What is there may be the newer one's as soon as it has been looked at."""
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=yes)
    publisher.publish("out-0.mp4", "x.mp4")
    newer = open_staging(FileRoots([root]), uri=f"file://{root}/new/out", name="t~job~1~8")
    (root / "new/out/y.mp4").write_text("foreign")
    for _ in range(2):
        with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
            publisher.publish("out-1.mp4", "y.mp4")
    assert (root / "new/out/x.mp4").exists()
    newer.discard()


def test_what_is_being_taken_back_is_not_published_again(root, staging):
    """The window ends in the middle of it, and the stranger's file goes: in the next one only taking back goes on."""
    answers = iter([True, True, True, True, False])
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=lambda: next(answers, True))
    publisher.publish("out-0.mp4", "x.mp4")
    (root / "new/out/y.mp4").write_text("foreign")
    with pytest.raises(WindowOver):
        publisher.publish("out-1.mp4", "y.mp4")
    (root / "new/out/y.mp4").unlink()
    with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
        publisher.publish("out-1.mp4", "y.mp4")
    assert [".telecine"] == [path.name for path in (root / "new/out").iterdir()]


def test_a_folder_is_brought_to_disk_once_before_what_names_its_files(root, staging, monkeypatch):
    """Not for each of the thousands of files that a package has, and again after each playlist."""
    events: list[str] = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(publishing.os, "fsync", lambda fd: (events.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(
        publishing.os, "rename", lambda *names, **fds: (events.append(names[1]), rename(*names, **fds))[1]
    )
    types = {f"{number}.m4s": "video/iso.segment" for number in range(3)} | {"x.m3u8": "application/vnd.apple.mpegurl"}
    for name in types:
        staging.write_file(name, b"x")
    destination = FileDestination(Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=yes))
    files = [
        StagedFile(file_name=name, path=f"v/{name}", media_type=kind, size_bytes=1, sha256="")
        for name, kind in types.items()
    ]
    (root / "new/out/v").mkdir()
    destination.publish(lambda: False, files)
    assert ["0.m4s", "1.m4s", "2.m4s", "sync", "x.m3u8", "sync"] == events


def test_nothing_is_taken_back_past_the_window(root, staging):
    """Another attempt may have found the file in place and counted on it; with a new window it goes on."""
    answers = iter([True, True, True, True, False, True, True, True])
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=lambda: next(answers))
    publisher.publish("out-0.mp4", "x.mp4")
    (root / "new/out/y.mp4").write_text("foreign")
    with pytest.raises(WindowOver):
        publisher.publish("out-1.mp4", "y.mp4")
    assert (root / "new/out/x.mp4").exists()
    with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
        publisher.publish("out-1.mp4", "y.mp4")
    assert not (root / "new/out/x.mp4").exists()


def test_an_own_place_is_taken_within_the_window_only(root, staging):
    """Looking whose file is there takes its time."""
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=yes)
    publisher.prepare("out-0.mp4", "x.mp4")
    publisher.publish("out-0.mp4", "x.mp4")
    answers = iter([True, True, False])
    again = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=lambda: next(answers))
    with pytest.raises(WindowOver):
        again.publish("out-1.mp4", "x.mp4")
    assert "out-0.mp4" == (root / "new/out/x.mp4").read_text()


def test_a_staged_file_that_is_removed_meanwhile_is_lost(root, staging, monkeypatch):
    """Also while the attempt looks whose file is in its place."""
    publisher = Publisher(staging, inputs={}, replace=False, per_attempt=False, allowed=yes)
    publisher.prepare("out-0.mp4", "x.mp4")
    publisher.publish("out-0.mp4", "x.mp4")
    is_foreign = publisher._is_foreign

    def looking(parts):
        Path(staging.cwd, "out-1.mp4").unlink()
        return is_foreign(parts)

    monkeypatch.setattr(publisher, "_is_foreign", looking)
    with pytest.raises(AttemptFailed) as error:
        publisher.publish("out-1.mp4", "x.mp4")
    assert (FailureKind.RETRYABLE, "STAGING_LOST") == (error.value.failure.kind, error.value.failure.reason)


def test_a_folder_that_is_gone_is_lost_a_file_was_never_written(root, staging):
    """What wakes late finds nothing because a newer attempt removed it, which says nothing about the input."""
    (Path(staging.cwd) / "out-0.mp4").unlink()
    with pytest.raises(AttemptFailed) as never, staging.reading("out-0.mp4", "x.mp4"):
        pass
    newer = open_staging(FileRoots([root]), uri=f"file://{root}/new/out", name="t~job~1~8")
    newer.remove_older()
    with pytest.raises(AttemptFailed) as gone, staging.reading("out-1.mp4", "y.mp4"):
        pass
    newer.discard()
    failures = [error.value.failure for error in (never, gone)]
    assert [(FailureKind.PERMANENT, "OUTPUT_EMPTY"), (FailureKind.RETRYABLE, "STAGING_LOST")] == [
        (failure.kind, failure.reason) for failure in failures
    ]


def test_a_new_name_is_never_taken_over(tmp_path, monkeypatch):
    """With and without renameat2: an existing file stays, a free name is taken."""
    directory = os.open(tmp_path, os.O_RDONLY)

    class NoRename:
        @staticmethod
        def renameat2(*_: object) -> int:
            publishing.ctypes.set_errno(22)
            return -1

    for libc in (publishing._libc, NoRename):
        monkeypatch.setattr(publishing, "_libc", libc)
        (tmp_path / "a").write_text("a")
        (tmp_path / "there").write_text("there")
        with pytest.raises(FileExistsError):
            publishing.rename_new("a", "there", directory, directory)
        publishing.rename_new("a", "free", directory, directory)
        assert "there" == (tmp_path / "there").read_text()
        (tmp_path / "free").unlink()
    os.close(directory)


def test_a_directory_in_the_place_of_a_file_is_a_clear_failure(root, staging):
    """OUTPUT_EXISTS, for good; the directory stays."""
    (root / "new/out/x.mp4").mkdir()
    publisher = Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=yes)
    with pytest.raises(AttemptFailed) as error:
        publisher.publish("out-0.mp4", "x.mp4")
    assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == (error.value.failure.kind, error.value.failure.reason)


def test_a_late_attempt_finds_nothing_to_rename(root, staging):
    """A newer attempt removes the older staging: the late rename publishes nothing."""
    newer = open_staging(FileRoots([root]), uri=f"file://{root}/new/out", name="t~job~1~8")
    newer.remove_older()
    publisher = Publisher(staging, inputs={}, replace=True, per_attempt=False, allowed=yes)
    with pytest.raises(AttemptFailed, match="STAGING_LOST"):
        publisher.publish("out-0.mp4", "x.mp4")
    assert not (root / "new/out/x.mp4").exists()
    newer.discard()


@pytest.mark.parametrize(
    "path",
    ["../x.mp4", "a/../../x.mp4", "a//x.mp4", "/x.mp4", "x/", ".", "", ".telecine/x.mp4", "a/.telecine/x", "a" * 1025],
)
def test_a_path_that_leaves_the_output_is_refused(path):
    """Before anything is encoded; the folder of stagings is no place for results."""
    with pytest.raises(AttemptFailed, match="PATH_NOT_ALLOWED"):
        check_relative(path)
