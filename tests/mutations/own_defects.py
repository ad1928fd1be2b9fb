"""Defects of our own kind: what somebody could break here in good faith."""

from __future__ import annotations

from mutations.mutation import Mutation, mutation
from mutations.reference_defects import MUTANTS, SCHEDULER_TESTS, SERVICE, STORE, TRANSITIONS

WORKER = "worker/telecine_worker"
WORKER_TESTS = "tests/integration/worker"

OWN_DEFECTS: tuple[Mutation, ...] = (
    mutation(
        "the publish window counts from the answer", f"{WORKER}/publish_question.py",
        "deadline = self._asked + window - MARGIN_SECONDS",
        "deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + window - MARGIN_SECONDS",
        f"{WORKER_TESTS}/test_publish_question.py::test_the_window_counts_from_the_question",
    ),
    mutation(
        "the window is not looked at before the rename", f"{WORKER}/storage/publishing.py",
        "    def _move(self, file_name: str, directory: int, name: str, path: str) -> None:\n        if not self._allowed():\n",
        "    def _move(self, file_name: str, directory: int, name: str, path: str) -> None:\n        if False:\n",
        f"{WORKER_TESTS}/test_storage.py::test_the_window_is_looked_at_before_every_visible_step",
    ),
    mutation(
        "older stagings stay", f"{WORKER}/storage/staging.py",
        "token_of(other) < token_of(name):", "token_of(other) < 0:",
        f"{WORKER_TESTS}/test_storage.py::test_a_late_attempt_finds_nothing_to_rename",
    ),
    mutation(
        "an outcome is said before it is on disk", f"{WORKER}/journal.py",
        "done, _ = await asyncio.wait({asyncio.wrap_future(writing)}, timeout=WRITE_SECONDS)", "done = True",
        f"{WORKER_TESTS}/test_journal.py::test_an_outcome_is_said_when_it_is_on_disk",
    ),
    mutation(
        "any acknowledgement ends an outcome", f"{WORKER}/holdings.py",
        "if ack.ack not in {pb.OutcomeAck.ACK_TRY_AGAIN, pb.OutcomeAck.ACK_UNSPECIFIED}:", "if True:",
        f"{WORKER_TESTS}/test_journal.py::test_an_outcome_is_said_until_it_is_recorded",
    ),
    mutation(
        "a hello names no leases", f"{WORKER}/holdings.py",
        "return [*(lease.renewal() for lease in self._leases.values()), *later], ", "return [], ",
        f"{WORKER_TESTS}/test_worker_stream.py::test_a_reconnecting_worker_says_what_it_holds",
    ),
    mutation(
        "an older token takes over", f"{WORKER}/holdings.py",
        "            if held and held.key.token < key.token:\n", "            if held:\n",
        f"{WORKER_TESTS}/test_holdings.py::test_an_older_token_that_comes_late_is_refused",
    ),
    mutation(
        "a hello's leases are reclaimed", "scheduler/telecine_scheduler/rpc/conversation.py",
        "await self._leasing.open(self.stream, held)", "await self._leasing.open(self.stream, [])",
        f"{SCHEDULER_TESTS}/test_lease_stream.py::test_a_reconnecting_worker_keeps_its_lease",
    ),
    mutation(
        "an epoch may come twice", f"{STORE}/lua/register.lua",
        "tonumber(epoch) <= tonumber(owner[2])", "tonumber(epoch) < tonumber(owner[2])",
        f"{SCHEDULER_TESTS}/test_leases.py::test_a_session_is_registered_once_per_epoch",
    ),
    mutation(
        "a lost lease keeps its token", f"{STORE}/prelude/failing.lua",
        "random, 'LOST')\n  bump_token(job)\n", "random, 'LOST')\n",
        f"{SCHEDULER_TESTS}/test_leases.py::test_a_silent_worker_loses_its_job_to_another",
    ),
    mutation(
        "what publishes is cancelled", f"{STORE}/lua/cancel.lua",
        "  if publishing(job) then return { 'PUBLISHING' } end\n", "",
        TRANSITIONS,
    ),
    mutation(
        "one job more than may be queued", f"{STORE}/prelude/admission.lua",
        "+ pending >= admission.max_all then", "+ pending > admission.max_all then",
        f"{SCHEDULER_TESTS}/test_queue_order.py::test_the_queue_has_a_limit",
    ),
    mutation(
        "an empty look notes nobody", f"{STORE}/lua/dispatch.lua",
        "      if empty then note_idle(classes)", "      if false then note_idle(classes)",
        f"{SCHEDULER_TESTS}/test_wake_ups.py::test_work_that_becomes_ready_wakes_an_idle_scheduler",
    ),
    mutation(
        "a forgotten script is not sent again", f"{STORE}/lane.py",
        "        if undone:\n", "        if False:\n",
        f"{SCHEDULER_TESTS}/test_lane.py::test_a_flushed_script_cache_is_nobodys_business",
    ),
    mutation(
        "a caller that leaves takes its call back", f"{STORE}/lane.py",
        "            return await asyncio.shield(call.answer)\n", "            return await call.answer\n",
        f"{SCHEDULER_TESTS}/test_lane.py::test_a_caller_that_leaves_takes_nothing_back",
    ),
    mutation(
        "an outcome takes the fast lane", f"{STORE}/leases.py",
        'await self._durable.call("finish",', 'await self._fast.call("finish",',
        f"{MUTANTS}::test_what_a_caller_is_told_is_done_takes_the_durable_lane",
    ),
    mutation(
        "a watch tells a revision again", f"{SERVICE}/watching.py",
        "if job.revision > max(last, after_revision) or job.state.final:", "if job.revision >= last or job.state.final:",
        f"{MUTANTS}::test_a_watch_tells_no_revision_twice",
    ),
    mutation(
        "a stream's mass ending shortens leases", f"{SERVICE}/leasing.py",
        "not self.draining and not self._mass_ending(connected)", "not self.draining",
        f"{MUTANTS}::test_streams_that_end_together_shorten_no_leases",
    ),
    mutation(
        "any token may be adopted", f"{STORE}/prelude/crashes.lua",
        "or number <= tonumber(lost[1]) or number > tonumber(lost[2]) then return false end", "then return false end",
        f"{SCHEDULER_TESTS}/test_adoption.py::test_only_tokens_that_may_have_been_lost_are_adopted",
    ),
    mutation(
        "poison on one worker of several", f"{STORE}/prelude/failing.lua",
        "crashes >= POISON and (workers > 1 or not has_other(job))", "crashes >= POISON",
        f"{SCHEDULER_TESTS}/test_store_failures.py::test_crashes_on_one_worker_may_be_the_worker",
    ),
    mutation(
        "a crash is forgiven twice", f"{STORE}/prelude/crashes.lua",
        "  if #kept == #crashes then return false end\n", "",
        f"{SCHEDULER_TESTS}/test_store_forgiveness.py::test_only_a_lost_lease_is_forgiven",
    ),
    mutation(
        "workers that are cut off together are dead", f"{STORE}/lua/sweep.lua",
        "or not expired[1] or not is_mass() then", "or not expired[1] or true then",
        f"{SCHEDULER_TESTS}/test_store_brake.py::test_leases_that_run_out_together_are_kept_once",
    ),
    mutation(
        "retries come all at once", f"{STORE}/prelude/failing.lua",
        "math.max(NOW + backoff(p, again, random), next_slot(job.tenant, endings, p.max))", "NOW + backoff(p, again, random)",
        f"{SCHEDULER_TESTS}/test_store_retry_budget.py::test_retries_beyond_the_burst_are_spread",
    ),
    mutation(
        "leases run out while a hello waits", "scheduler/telecine_scheduler/rpc/hello_admission.py",
        "            await restore()\n            await self._turns.acquire()\n", "            await self._turns.acquire()\n",
        f"{SCHEDULER_TESTS}/test_lease_stream_hellos.py::test_what_a_waiting_worker_holds_gets_its_full_time",
    ),
    mutation(
        "who pings is sent away", "scheduler/telecine_scheduler/rpc/server.py",
        '    ("grpc.http2.max_ping_strikes", 0),\n', "",
        f"{SCHEDULER_TESTS}/test_long_streams.py::test_pings_are_no_offence",
    ),
    mutation(
        "every tenant lives in the first partition", f"{STORE}/partition.py",
        "return self._all[zlib.crc32(tenant.encode()) % self._count]", "return self._all[0]",
        f"{SCHEDULER_TESTS}/test_partitions.py::test_every_call_is_carried_out_where_its_tenant_lives",
    ),
    mutation(
        "what a failover lost is not written down", f"{STORE}/lua/resync.lua",
        "'lost_from', int(from),", "'lost_from', int(NOW),",
        f"{SCHEDULER_TESTS}/test_failover.py::test_the_tokens_that_a_failover_lost_are_written_down",
    ),
)  # fmt: skip
