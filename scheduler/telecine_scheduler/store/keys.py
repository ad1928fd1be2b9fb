"""Every key of a partition: its Redis type, what is in it, and who writes it.

All keys begin with the partition's prefix, whose hash tag keeps them in one slot. A job is named "<tenant>:<id>" inside keys
and sets; an id that is a UUID is packed into 17 bytes (`pack`). Numbers are microseconds since 2024-01-01 UTC unless said
otherwise.
Only the scripts in lua/ write, but for `wake`, which its scheduler pops.

key                  type    content
meta                 hash    clock; classes (last class id); beat (last sweep); ahead: how far our time is ahead of Redis' TIME,
                             which was set back (base.lua); frozen_until: no lease runs out until then, brake: none runs out for
                             silence; run: which server this is (identity in checks.py), lost_from, lost_to: tokens that the
                             last change of servers may have lost, as far as the servers' clocks agree within seconds
                             (resync.lua); auditor, auditor_until: who audits and until when that holds, audited: when the last
                             pass ended, unaudited: entries of this pass that could not be handled, recount:
                             "tenant|state|created" up to which a tenant's jobs are counted again; partitions; schema; mark:
                             written where acknowledgements wait for Redis (waits.py); test_shift_us (tests only)
states               hash    state letter -> number of jobs
classes, class_ids   hash    class id -> "queue|units|requirements", and back
cjobs                hash    class id -> unfinished jobs
j:<name>             hash    the record; every value is short, so that it stays a listpack (fields below)
s:<name>             string  the encoded JobSpec
x:<name>             hash    large values: p progress, f failure, r result, cn reason of the cancel, l labels as JSON (if any),
                             c the last 16 crashes of this generation, a line each: "L|token|worker" (the lease was taken for
                             lost) or "F|token|worker" (the worker said so)
h:<name>             list    the last 20 state changes, "revision|state|reason"; from the second change on
a:<name>             list    the last 10 ended attempts, "number|worker|token|start|end|outcome|cpu us|peak bytes|failure"
rdy:<class>:<tenant> zset    ready jobs: id -> score (sequence + penalty of the priority)
age:<class>          zset    ready jobs: name -> sequence, for depth and age
fair:<class>         zset    tenants with ready jobs: tenant -> virtual time (units granted, from the class's floor on)
vt                   hash    class id -> floor: the virtual time at which the one last served began
v:<class>            zset    tenants without ready jobs that are ahead of the floor: tenant -> virtual time; gone when no
                             tenant has ready jobs
n:<tenant>           hash    "<queue>|<state as callers see it>" -> number of jobs; q queued jobs (WAITING, QUEUED, LEASED) over
                             all queues
ix:<tenant>:<state>  zset    the tenant's jobs in a state as callers see it: id -> created
il:<tenant>:<key>=<value>
                     zset    the tenant's jobs with a label: id -> created
tc:<tenant>          set     classes with ready jobs
tcl:<tenant>         hash    class id -> unfinished jobs
recount              hash    what was counted of a tenant whose counters were wrong: "<queue>|<state>", "|<class>" -> number
tenants              zset    tenants that have jobs, all with the score 0; some that had
retries              zset    tenant -> when its budget of retries is full again; gone by then
due                  zset    WAITING jobs: name -> when they become ready
lease                zset    leased jobs: name -> when the lease runs out
dl                   zset    unfinished jobs with a queue or total limit that is not over: name -> when it is looked at
ret                  zset    finished jobs: name -> when the record is deleted
tomb                 zset    deleted jobs whose id is still taken: name -> when it is free
w:<worker>           hash    ses session, ep epoch, up 1 while its stream is open, cut 1 where its end shortened the leases, sch
                             its scheduler, ct connected at, sn last seen at, dr 1 while it drains, su until when anything is
                             shut to a process of it; gone after a week
wo:<worker>          string  what it offers, JSON: queues, capabilities, slots, version
refused:<process>    hash    "<class>:<tenant>" -> "refusals|since" (UNSUPPORTED, UNHEALTHY) within a minute; gone after two
shut:<process>       zset    "<class>:<tenant>" -> until when dispatch does not look there for this process; gone after two
                             minutes
workers              zset    workers that are connected, all with the score 0
holders              zset    workers that may have a set of leases, all with the score 0
wl:<worker>          set     names of the jobs it holds leases of
schedulers           zset    scheduler -> alive until
idle:<class>         zset    scheduler with free credit -> noted until
wake:<scheduler>     list    class ids that have something for it
feed                 stream  j name, r revision, s state ("-": deleted); w worker, t token and g own grace with a cancel

Fields of j:<name>:  st state, rv revision, ct created, sq sequence, pn penalty, cl class id, dg digest of the spec; and
where they differ from the default: qu queue, un units, po policy, lm limits, nb not before, wr why it waits, tk token, wk
worker, at attempts begun (over all generations), sa start of the running attempt, sp start of the last one, fa failures, cr
crashes, lo crashes with those that were taken back, re returns and crashes that were taken back, rf refusals since the last
start, uk unknown failures (of this generation), gn generation, gs begin of a generation after the first (with limits), pr
digest of the worker process that has or had the lease, av that of the one that the job avoids and au until when, ps sequence
and pt time of the last progress, pb end of the window in which it publishes, et ended.
"""

from __future__ import annotations

import re
import uuid

from telecine_scheduler.domain.job import JobName

SCHEMA = "1"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# No job id begins with this byte.
_PACKED = b"\x01"


def prefix(partition: int = 0) -> str:
    """What all keys of a partition begin with."""
    return f"telecine:{{p{partition}}}:"


def pack(name: JobName) -> bytes:
    """A job's name as keys and sets have it."""
    job_id = _PACKED + uuid.UUID(name.job_id).bytes if _UUID.fullmatch(name.job_id) else name.job_id.encode()
    return name.tenant.encode() + b":" + job_id


def unpack(packed: bytes) -> JobName:
    """The name that `pack` packed."""
    tenant, _, job_id = packed.partition(b":")
    text = str(uuid.UUID(bytes=job_id[1:])) if job_id.startswith(_PACKED) else job_id.decode()
    return JobName(tenant=tenant.decode(), job_id=text)
