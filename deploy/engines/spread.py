"""One address for several pools of workers: whoever asks it for workers gets one from each pool in turn.

spread.py PORT POOL...: ports of this machine. Engines know one address of workers, and ask it once a worker.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

_SECONDS = 60.0


class Spread(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Hands requests on; a pool that does not answer is passed over."""

    def __init__(self, pools: Sequence[int]) -> None:
        channels = [grpc.insecure_channel(f"localhost:{port}") for port in pools]
        self._pools = [beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel) for channel in channels]
        self._turns = itertools.cycle(self._pools)
        self._pool_of: dict[str, beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub] = {}

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Start a worker in the next pool that answers."""
        for _ in self._pools:
            pool = next(self._turns)
            try:
                started = pool.StartWorker(request, timeout=_SECONDS)
            except grpc.RpcError:
                continue
            self._pool_of[request.worker_id] = pool
            return started
        return beam_fn_api_pb2.StartWorkerResponse(error="no pool of workers answers")

    def StopWorker(
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Stop a worker where it was started; where that is gone, so is the worker."""
        pool = self._pool_of.pop(request.worker_id, None)
        try:
            return pool.StopWorker(request, timeout=_SECONDS) if pool else beam_fn_api_pb2.StopWorkerResponse()
        except grpc.RpcError:
            return beam_fn_api_pb2.StopWorkerResponse()


def main(port: int, pools: Sequence[int]) -> None:
    """Serve until ended."""
    server = grpc.server(ThreadPoolExecutor())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Spread(pools), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(pool) for pool in sys.argv[2:]])
