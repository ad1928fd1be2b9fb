"""Defects that job queues have had, in the order of the list this project began with (queue systems' issues and postmortems).

Of that list these are said otherwise here:
 - "Skip SREM run": there is no set of a tenant's running jobs yet. What corresponds is the lease and its worker's set, which
   `release` frees, once for each of cancel, fail and sweep.
 - "ZADD without XX in renew" changes nothing: a lease is renewed only where the job's state says that there is one, and state
   and lease change in one script. Its neighbour GT is what counts: without it a renewal shortens the publish window.
 - "Charge the attempt at the grant" counts it there, and `start` counts from it.
 - "TIME from the client" needs two edits: the lane says its own time, and the scripts take it.
"""

from __future__ import annotations

from mutations.mutation import Edit, Mutation, mutation

STORE = "scheduler/telecine_scheduler/store"
SERVICE = "scheduler/telecine_scheduler/service"
SCHEDULER_TESTS = "tests/integration/scheduler"
TRANSITIONS = f"{SCHEDULER_TESTS}/test_transitions.py::test_a_verb_moves_a_job_only_as_the_table_says"
MUTANTS = f"{SCHEDULER_TESTS}/test_mutants_scheduler.py"

TOKEN_OF_AN_OUTCOME = "  if job.tk ~= token then return { kind == 'CRASH'"
TOKEN_OF_A_RENEWAL = "  if job.tk ~= token then return nil, { superseded(job, token) } end\n"

REFERENCE_DEFECTS: tuple[Mutation, ...] = (
    mutation(
        "no token check of an outcome", f"{STORE}/lua/finish.lua",
        TOKEN_OF_AN_OUTCOME, "  if false then return { kind == 'CRASH'",
        TRANSITIONS, f"{SCHEDULER_TESTS}/test_leases.py::test_a_grant_that_nobody_accepts_goes_back_uncharged",
    ),
    mutation(
        "no token check of a renewal", f"{STORE}/prelude/attempt.lua",
        TOKEN_OF_A_RENEWAL, "",
        TRANSITIONS,
    ),
    mutation(
        "a greater token will do", f"{STORE}/lua/finish.lua",
        TOKEN_OF_AN_OUTCOME, "  if tonumber(token) < count(job.tk) then return { kind == 'CRASH'",
        TRANSITIONS,
    ),
    mutation(
        "renewing rotates the token", f"{STORE}/lua/renew.lua",
        "  local waited = begin(job, ttl)\n", "  local waited = begin(job, ttl)\n  bump_token(job)\n",
        f"{SCHEDULER_TESTS}/test_leases.py::test_renewing_keeps_a_lease",
    ),
    mutation(
        "a cancelled attempt keeps its lease", f"{STORE}/prelude/attempt.lua",
        "local function cancelled(job, reason, cpu_us, cost)\n  release(job)\n",
        "local function cancelled(job, reason, cpu_us, cost)\n",
        f"{SCHEDULER_TESTS}/test_leases.py::test_a_cancelled_job_ends_without_its_worker",
    ),
    mutation(
        "a failed attempt keeps its lease", f"{STORE}/prelude/failing.lua",
        "local p, crash = policy(job), kind == 'CRASH'\n  release(job)\n", "local p, crash = policy(job), kind == 'CRASH'\n",
        f"{SCHEDULER_TESTS}/test_store_failures.py::test_attempts_are_bounded",
    ),
    mutation(
        "a swept grant keeps its lease", f"{STORE}/prelude/attempt.lua",
        "local function ungrant(job)\n  release(job)\n", "local function ungrant(job)\n",
        f"{SCHEDULER_TESTS}/test_leases.py::test_a_grant_that_nobody_accepts_goes_back_uncharged",
    ),
    mutation(
        "the sweep wakes nobody", f"{STORE}/lua/sweep.lua",
        "  make_ready(job, refused and tonumber(job.sq) or tick())\n",
        "  make_ready(job, refused and tonumber(job.sq) or tick(), scheduler)\n",
        f"{SCHEDULER_TESTS}/test_wake_ups.py::test_work_that_becomes_ready_wakes_an_idle_scheduler",
    ),
    mutation(
        "the index of states is not left", f"{STORE}/prelude/state.lua",
        "    call('ZREM', index .. from, id_of(job.name))\n", "",
        f"{SCHEDULER_TESTS}/test_store_listing.py::test_states_narrow_a_list",
    ),
    mutation(
        "renewing shortens the publish window", f"{STORE}/lua/renew.lua",
        "'XX', 'GT', int(NOW + ttl), name)", "'XX', int(NOW + ttl), name)",
        f"{SCHEDULER_TESTS}/test_store_publishing.py::test_a_publish_window_is_not_shortened",
    ),
    mutation(
        "an attempt is charged at its grant", f"{STORE}/lua/dispatch.lua",
        "  set_state(job, 'L')\n", "  set_state(job, 'L')\n  call('HINCRBY', job.key, 'at', 1)\n",
        f"{SCHEDULER_TESTS}/test_leases.py::test_a_grant_that_nobody_accepts_goes_back_uncharged",
    ),
    mutation(
        "no grace after an outage", f"{STORE}/lua/sweep.lua",
        "  if unswept and call('ZCARD', P .. 'lease') > 0 then\n", "  if false then\n",
        f"{SCHEDULER_TESTS}/test_leases.py::test_after_an_outage_no_lease_runs_out_for_a_ttl",
    ),
    Mutation(
        name="a scheduler's clock decides",
        edits=(
            Edit(
                file=f"{STORE}/lane.py",
                old="            commands.append((*run, 1, self._prefix, *arguments))\n",
                new="            commands.append((*run, 1, self._prefix, *arguments, repr(time.time())))\n",
            ),
            Edit(
                file=f"{STORE}/prelude/base.lua",
                old="local time, meta = call('TIME'),",
                new="local time, meta = { ARGV[#ARGV], 0 },",
            ),
        ),
        tests=(f"{MUTANTS}::test_no_clock_of_a_scheduler_decides",),
    ),
    mutation(
        "a large number is joined to text", f"{STORE}/prelude/base.lua",
        "call('HSET', P .. 'meta', 'clock', int(clock))", "call('HSET', P .. 'meta', 'clock', '' .. clock)",
        "tests/contract/test_words.py::test_a_script_never_joins_large_numbers",
        f"{MUTANTS}::test_numbers_are_exact_for_centuries",
    ),
    mutation(
        "credit is counted down, not up to a limit", f"{SERVICE}/worker_stream.py",
        "max(0, self._limit - self._granted)", "max(0, self._limit)",
        f"{SCHEDULER_TESTS}/test_lease_stream.py::test_credit_bounds_what_is_granted",
    ),
    mutation(
        "answered before it is durable", f"{STORE}/lane.py",
        "        if len(undone) < len(groups):\n", "        if False:\n",
        f"{SCHEDULER_TESTS}/test_durability.py::test_a_short_count_is_never_ok",
    ),
    mutation(
        "a watch reads before it listens", f"{SERVICE}/watching.py",
        "        with self._bell(name) as bell:\n            job = await self._store.get(name, full=True)\n",
        "        job = await self._store.get(name, full=True)\n        with self._bell(name) as bell:\n",
        f"{MUTANTS}::test_nothing_falls_between_reading_and_listening",
    ),
    mutation(
        "a broken stream requeues", f"{STORE}/lua/disconnect.lua",
        "'XX', 'LT', int(NOW + grace), name)", "'XX', 'LT', int(NOW), name)",
        f"{SCHEDULER_TESTS}/test_leases.py::test_a_broken_stream_shortens_leases_to_the_grace",
    ),
    mutation(
        "a child is started from a thread that ends", "worker/telecine_worker/ffmpeg/process.py",
        "        child = spawn(command, info_fd=childs, doors=cgroup.doors if cgroup else ())\n",
        "        from concurrent.futures import ThreadPoolExecutor\n\n        threads = ThreadPoolExecutor(1)\n"
        "        child = threads.submit(spawn, command, info_fd=childs, doors=()).result()\n"
        "        asyncio.get_running_loop().call_later(0.5, threads.shutdown)\n",
        "tests/integration/worker/test_mutants_worker.py::test_a_child_outlives_whatever_thread_ends",
    ),
)  # fmt: skip
