"""A filter of system calls: what a media tool never needs is refused, sockets and new processes among it.

It is the second wall behind namespaces and Landlock, and the only one against what Landlock does not know: UDP, chmod,
and signals before its sixth version. Written for the two architectures whose numbers are here (Linux's
asm/unistd_64.h and asm-generic/unistd.h); elsewhere there is none.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

# Classic BPF (linux/bpf_common.h, linux/filter.h).
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Where struct seccomp_data has them; of arguments the lower half, which on these machines comes first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
# linux/audit.h.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Calls of the x32 ABI have this bit, and other numbers otherwise.
_X32 = 0x40000000

_CLONE_THREAD = 0x00010000
_INPUT_OF_TERMINALS = (0x5412, 0x541C)
"""ioctl: TIOCSTI, TIOCLINUX."""
_OWNERS_OF_SIGNALS = (8, 10, 15)
"""fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX."""

# Number on x86_64 and on aarch64; None: there is none.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Other hosts and processes. io_uring opens sockets of its own.
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "tkill": (200, 130), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # Priorities are what the launcher set.
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    # Files, where Landlock does not look.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "truncate": (76, 45), "utime": (132, None),
    "utimes": (235, None), "utimensat": (280, 88), "futimesat": (261, None), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "removexattrat": (466, 466), "mknod": (133, None), "mknodat": (259, 33),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    # The machine.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "syslog": (103, 116), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "iopl": (172, None),
    "ioperm": (173, None),
}  # fmt: skip
# Without it the C library asks for threads by clone, whose flags a filter can read.
_UNKNOWN = {"clone3": (435, 435)}
# May be used on the process itself: a first argument of its own number, or of 0 where that means itself.
_ON_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)}
_ON_ITSELF_OR_0 = {"prlimit64": (302, 261), "sched_setaffinity": (203, 122)}
_CLONE, _FCNTL, _IOCTL = (56, 220), (72, 25), (16, 29)


def is_known() -> bool:
    """Whether there is a filter for this machine."""
    return os.uname().machine in _ARCHITECTURES


def program(own_pid: int) -> bytes:
    """The filter as an array of struct sock_filter, for a program that has *own_pid* in its namespace."""
    machine = os.uname().machine
    column = list(_ARCHITECTURES).index(machine)
    steps = [
        _step(_LOAD, _ARCHITECTURE), *_unless(_ARCHITECTURES[machine], _KILL), _step(_LOAD, _NUMBER),
        *(_if(_AT_LEAST, _X32, _REFUSE | _ENOSYS) if machine == "x86_64" else ()),
    ]  # fmt: skip
    for number in _numbers(_REFUSED, column):
        steps += _if(_EQUAL, number, _REFUSE | _EPERM)
    for number in _numbers(_UNKNOWN, column):
        steps += _if(_EQUAL, number, _REFUSE | _ENOSYS)
    for number in _numbers(_ON_ITSELF, column):
        steps += _argument(number, 0, [*_if(_EQUAL, own_pid, _ALLOW), _step(_RETURN, _REFUSE | _EPERM)])
    for number in _numbers(_ON_ITSELF_OR_0, column):
        allowed = [*_if(_EQUAL, own_pid, _ALLOW), *_if(_EQUAL, 0, _ALLOW)]
        steps += _argument(number, 0, [*allowed, _step(_RETURN, _REFUSE | _EPERM)])
    steps += _argument(_CLONE[column], 0, [*_if(_HAS_BIT, _CLONE_THREAD, _ALLOW), _step(_RETURN, _REFUSE | _EPERM)])
    for number, refused in ((_FCNTL[column], _OWNERS_OF_SIGNALS), (_IOCTL[column], _INPUT_OF_TERMINALS)):
        refusals = [step for value in refused for step in _if(_EQUAL, value, _REFUSE | _EPERM)]
        steps += _argument(number, 1, [*refusals, _step(_RETURN, _ALLOW)])
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _numbers(calls: dict[str, tuple[int, int]] | dict[str, tuple[int | None, int | None]], column: int) -> list[int]:
    return [number for numbers in calls.values() if (number := numbers[column]) is not None]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _if(test: int, value: int, verdict: int) -> list[bytes]:
    """Ends with *verdict* where what is loaded passes *test* with *value*."""
    return [_step(test, value, 0, 1), _step(_RETURN, verdict)]


def _unless(value: int, verdict: int) -> list[bytes]:
    return [_step(_EQUAL, value, 1, 0), _step(_RETURN, verdict)]


def _argument(number: int, which: int, then: Sequence[bytes]) -> list[bytes]:
    """For call *number*: load argument *which* and go on with *then*, which has to end in a verdict."""
    return [_step(_EQUAL, number, 0, len(then) + 1), _step(_LOAD, _ARGUMENTS + 8 * which), *then]
