"""A cross-encoder that a server runs: pairs to logits over HTTP, tried again where that may help."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import RemoteModelHandler
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    wait_exponential,
)

from hardneg.errors import ServiceError, parameter
from hardneg.transforms.models.cross_encoder import ScoredPart
from hardneg.transforms.models.served.client import Client, TransientError
from hardneg.transforms.models.served.forms import BadAnswerError, logits_in, question
from hardneg.transforms.models.served.spec import Backoff, RemoteSpec

_NAMESPACE = "hardneg.remote"
_TRIES_OF_CHECK = 3


class RerankHandler(RemoteModelHandler[tuple[str, str], np.float32, Client]):
    """One request: a batch of pairs of one query to their logits; for one thread at a time.

    Of its base it takes the throttling, which holds requests back while most of them fail. The base's own retries
    wait for fixed times and are deaf to Retry-After: they are off, and ``RemoteCrossEncoder`` tries again around
    it. It is called by the block loop, not by RunInference, which cuts its batches by timing.
    """

    def __init__(self, spec: RemoteSpec) -> None:
        super().__init__(
            namespace=_NAMESPACE,
            num_retries=0,
            throttle_delay_secs=spec.backoff.throttle,
            window_ms=spec.backoff.window,
            bucket_ms=spec.backoff.window,
        )
        self.logger.setLevel(logging.CRITICAL)  # it would print each try that failed
        self._spec = spec

    def create_client(self) -> Client:
        return Client(self._spec.model, self._spec.timeout)

    def request(
        self, batch: Sequence[tuple[str, str]], model: Client, inference_args: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Return the logits of pairs of one query, float32, shape (n,)."""
        query, passages = batch[0][0], [passage for _, passage in batch]
        answer = model.post(question(self._spec.api, self._spec.name, query, passages))
        try:
            return logits_in(self._spec.api, answer, len(batch))
        except BadAnswerError as error:
            raise ServiceError(
                f"cross-encoder {model.shown}: its answer {error}. Nothing is made of such an answer; see that "
                f"{parameter('cross_encoder_api')} is its form, and that the server is sound."
            ) from None


class RemoteCrossEncoder:
    """A served cross-encoder, in the place of ``CrossEncoder``.

    Its fingerprint is what the user states: address, form, name, revision and prompts. Whether the server gives a
    pair the same bits in another batch is its own affair; a pair that is stored is not asked for again. Which
    pairs the server cuts is not known, so none counts as cut.
    """

    def __init__(self, spec: RemoteSpec) -> None:
        self.spec = spec
        self.description = _describe(spec)
        self._idle: queue.SimpleQueue[tuple[RerankHandler, Client]] = queue.SimpleQueue()
        for _ in range(spec.requests):
            handler = RerankHandler(spec)
            self._idle.put((handler, handler.load_model()))

    @property
    def fingerprint(self) -> str:
        return self.description["fingerprint"]

    def check(self) -> None:
        """Score one small pair, with fewer tries.

        Raises:
            ServiceError: the server cannot be reached, or answers with anything but a score.
        """
        self._ask([("What is rain?", "Rain is water.")], threading.Event(), _TRIES_OF_CHECK)

    def score(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' logits and whether each was cut (never known): float32 and bool, shape (n,).

        Raises:
            ServiceError: the server fails, or answers with anything but scores.
        """
        logits = np.full(len(queries), np.nan, dtype=np.float32)
        for rows, scores, _ in self.parts(queries, passages):
            logits[rows] = scores
        return logits, np.zeros(len(queries), dtype=bool)

    def parts(self, queries: Sequence[str], passages: Sequence[str]) -> Iterator[ScoredPart]:
        """Yield (rows, logits, cut) of each request as it is answered; an error comes after all that succeeded."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(max_workers=self.spec.requests)
        failure: BaseException | None = None
        try:
            asked: dict[Future[np.ndarray | None], np.ndarray] = {
                pool.submit(self._ask, [(queries[row], passages[row]) for row in rows], stop): rows
                for rows in _requests(queries, self.spec.batch)
            }
            for future in as_completed(asked):
                if error := future.exception():
                    failure = failure or error
                    continue
                logits, rows = future.result(), asked[future]
                if logits is None:
                    continue
                yield rows, logits, np.zeros(len(rows), dtype=bool)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        if failure:
            raise failure

    def _ask(
        self, pairs: Sequence[tuple[str, str]], stop: threading.Event, tries: int | None = None
    ) -> np.ndarray | None:
        """Return the logits of a request; None if another one failed before it was answered."""
        handler, client = self._idle.get()
        try:
            if stop.is_set():
                return None
            before = self.spec.prompts
            pairs = [(before[0] + query, before[1] + passage) for query, passage in pairs]
            return self._try(
                handler, client, pairs, stop, min(self.spec.backoff.tries, tries or self.spec.backoff.tries)
            )
        except BaseException:
            stop.set()
            raise
        finally:
            self._idle.put((handler, client))

    def _try(
        self,
        handler: RerankHandler,
        client: Client,
        pairs: Sequence[tuple[str, str]],
        stop: threading.Event,
        tries: int,
    ) -> np.ndarray | None:
        trying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, TransientError) and not stop.is_set()),
            stop=stop_after_attempt(tries),
            wait=_waiting(self.spec.backoff),
            sleep=sleep_using_event(stop),  # so that the end of another request ends it
            reraise=True,
        )
        try:
            return trying(handler.run_inference, pairs, client)
        except TransientError as error:
            if stop.is_set():
                return None
            raise ServiceError(
                f"cross-encoder {client.shown}: its server {error}, {_times(tries)}; see that it runs and is not "
                "overloaded, and start the same command again: scores that it gave are kept."
            ) from None


def _waiting(backoff: Backoff) -> Callable[[RetryCallState], float]:
    """Return how long to wait after a failure, in seconds: as long as the server asks, and ever longer."""
    growing = wait_exponential(multiplier=backoff.first, max=backoff.longest)

    def seconds(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = min(getattr(error, "after", 0.0), backoff.longest)
        return max(growing(state) * random.uniform(0.5, 1), asked)  # so that requests do not come back all at once

    return seconds


def _requests(queries: Sequence[str], batch: int) -> list[np.ndarray]:
    """Return the rows of each request: of one query, at most ``batch``."""
    rows_of: dict[str, list[int]] = {}
    for row, query in enumerate(queries):
        rows_of.setdefault(query, []).append(row)
    return [np.array(rows[start : start + batch]) for rows in rows_of.values() for start in range(0, len(rows), batch)]


def _describe(spec: RemoteSpec) -> dict[str, Any]:
    """Return what is known of a served model, and its digest as ``fingerprint``."""
    parts = {
        "kind": spec.kind,
        "model": spec.model,
        "name": spec.name,
        "revision": spec.revision,
        "api": spec.api,
        "prompts": dict(zip(("query", "passage"), spec.prompts, strict=True)),
        "backend": "http",
    }
    return {**parts, "fingerprint": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}


def _times(tries: int) -> str:
    return "at the first try" if tries == 1 else f"{tries} times in a row"
