"""A rerank server on this machine, in both forms, which fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

KEY = "sk-very-secret-0123456789"
Scorer = Callable[[str, list[str]], list[float]]
# What a fault sends instead: a status, headers and a body; None: nothing at all, until the server stops.
Reply = tuple[int, dict[str, str], bytes]
Fault = Callable[[dict[str, Any]], Reply | None]


def digest_score(query: str, passages: list[str]) -> list[float]:
    """Return scores that depend on nothing but the texts, as float32 holds them."""
    return [float(np.float32(zlib.crc32(f"{query}\n{each}".encode()) / 2**28 - 8)) for each in passages]


class RerankServer:
    """Answers /rerank and /v1/rerank, and remembers what it was asked.

    Attributes:
        scorer: gives raw logits; /v1/rerank answers with their sigmoids.
        faults: one a request, in turn, before it answers rightly; None: no fault.
        always: a fault of every request after those.
        asked: the pairs of all requests that were answered rightly.
        requests: (path, headers, body) of all requests.
        drip: seconds between the bytes of an answer; 0: it comes at once.
    """

    def __init__(self, scorer: Scorer = digest_score) -> None:
        self.scorer = scorer
        self.faults: list[Fault | None] = []
        self.always: Fault | None = None
        self.asked: list[tuple[str, str]] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.most_at_once = 0
        self.drip = 0.0
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._now = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]

    @property
    def tei(self) -> str:
        return f"http://127.0.0.1:{self.port}/rerank"

    @property
    def jina(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/rerank"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = server.reply(self.path, dict(self.headers), body)
                if reply is None:
                    server.stopped.wait(30)
                    return
                status, headers, data = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                server.send(self.wfile.write, data)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def send(self, write: Callable[[bytes], Any], data: bytes) -> None:
        """Write an answer's body: at once, or byte by byte, until whoever asked has gone."""
        try:
            for start in range(0, len(data), 1) if self.drip else ():
                write(data[start : start + 1])
                time.sleep(self.drip)
            if not self.drip:
                write(data)
        except OSError:
            return

    def reply(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Reply | None:
        with self._lock:
            self.requests.append((path, headers, body))
            fault = self.faults.pop(0) if self.faults else self.always
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return fault(body) if fault else self._right(path, body)
        finally:
            with self._lock:
                self._now -= 1

    def _right(self, path: str, body: dict[str, Any]) -> Reply:
        passages = body["texts" if path == "/rerank" else "documents"]
        logits = self.scorer(body["query"], passages)
        with self._lock:
            self.asked += [(body["query"], passage) for passage in passages]
        best_first = sorted(range(len(passages)), key=lambda place: -logits[place])
        if path == "/rerank":
            assert body["raw_scores"] is True
            assert body["truncate"] is True
            return answer([{"index": place, "score": logits[place]} for place in best_first])
        assert body["top_n"] == len(passages)
        sigmoids = 1 / (1 + np.exp(-np.array(logits, dtype=np.float64)))
        results = [{"index": place, "relevance_score": float(sigmoids[place])} for place in best_first]
        return answer({"model": body.get("model"), "results": results})

    @contextmanager
    def running(self) -> Iterator[RerankServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stopped.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def answer(value: Any) -> Reply:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def refuse(status: int, body: str = "", **headers: str) -> Fault:
    """Return a fault that answers with a status; headers with dashes for underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, named, body.encode())


def say(body: str) -> Fault:
    """Return a fault that answers 200 with some body."""
    return lambda _: (200, {}, body.encode())


def silence(_: dict[str, Any]) -> None:
    """Say nothing."""
