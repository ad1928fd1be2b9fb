"""What the scheduler's calls are compared with: a grpc.aio server with nothing behind it but, in Submit, one script.

bare_server SOCKET prints "ready ADDRESS"; it ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import redis.asyncio
import uvloop

from bench.drivers.control import answer_reports
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb

SERVICE = "bench.Bare"
# The least that keeps a job: its record, and its place in a queue.
SCRIPT = """
redis.call('HSET', 'bare:' .. ARGV[1], 'spec', ARGV[2], 'state', 'Q')
return redis.call('ZADD', 'bare', redis.call('INCR', 'bare:clock'), ARGV[1])
"""

Context = grpc.aio.ServicerContext[Any, Any]


class Bare:
    """The handlers."""

    def __init__(self, connection: redis.asyncio.Redis, sha: str) -> None:
        self._redis = connection
        self._sha = sha

    async def echo(self, request: pb.SubmitJobRequest, _: Context) -> pb.SubmitJobResponse:
        return pb.SubmitJobResponse(job=job_pb2.Job(job_id=request.job_id))

    async def submit(self, request: pb.SubmitJobRequest, _: Context) -> pb.SubmitJobResponse:
        await self._redis.evalsha(self._sha, 0, request.job_id, request.spec.SerializeToString())
        return pb.SubmitJobResponse(job=job_pb2.Job(job_id=request.job_id))

    async def stream(self, message: bytes, context: Context) -> AsyncIterator[bytes]:
        """The same message for ever, as fast as the reader reads."""
        await context.send_initial_metadata(())
        while True:
            yield message


def handlers(bare: Bare) -> grpc.GenericRpcHandler:
    parse, serialize = pb.SubmitJobRequest.FromString, pb.SubmitJobResponse.SerializeToString
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Echo": grpc.unary_unary_rpc_method_handler(bare.echo, parse, serialize),
            "Submit": grpc.unary_unary_rpc_method_handler(bare.submit, parse, serialize),
            "Stream": grpc.unary_stream_rpc_method_handler(bare.stream),
        },
    )


async def main(socket: str) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    answer_reports(dict, lambda: loop.call_soon_threadsafe(ended.set))
    connection = redis.asyncio.Redis(unix_socket_path=socket)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(Bare(connection, await connection.script_load(SCRIPT))),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    await ended.wait()
    await server.stop(None)
    await connection.aclose()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
