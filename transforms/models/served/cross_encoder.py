"""A cross-encoder that a server runs: pairs to logits over HTTP, tried again where that may help."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from apache_beam.ml.inference.base import RemoteModelHandler
from apache_beam.utils.retry import with_exponential_backoff

from hardneg.errors import HardnegError
from hardneg.transforms.models.cross_encoder import Part
from hardneg.transforms.models.files import Kind
from hardneg.transforms.models.served.client import Client, TransientError
from hardneg.transforms.models.served.forms import Api, BadAnswerError, logits_in, question

_NAMESPACE = "hardneg.remote"
_TRIES_OF_CHECK = 3


@dataclass(frozen=True)
class Backoff:
    """How a request that may succeed later is tried again.

    Attributes:
        tries: of one request, the first included.
        first: seconds before the second try, at most; doubled for each further one.
        longest: seconds before any try, also where the server asks for more.
        throttle: seconds that Beam's throttler holds requests back for while most of them fail.
        window: milliseconds that it looks back.
    """

    tries: int = 7
    first: float = 2.0
    longest: float = 60.0
    throttle: int = 5
    window: int = 1000


@dataclass(frozen=True)
class RemoteSpec:
    """A served cross-encoder and how it is asked.

    Attributes:
        model: its address, http or https.
        revision: what is served there, in the user's words.
        api: the form of requests and answers.
        name: the model's name in a request; None: none is sent.
        prompts: put before the query and before the passage.
        batch: pairs of a request, at most.
        requests: in flight at once, from one worker process.
        timeout: seconds until a silent server counts as failed.
        backoff: when a request is tried again.
    """

    model: str
    revision: str
    api: Api
    name: str | None = None
    prompts: tuple[str, str] = ("", "")
    batch: int = 32
    requests: int = 4
    timeout: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    kind: ClassVar[Kind] = "cross-encoder"


class RerankHandler(RemoteModelHandler[tuple[str, str], np.float32, Client]):
    """One request: a batch of pairs of one query to their logits; for one thread at a time.

    Of its base it takes the throttling, which holds requests back while most of them fail. The base's own retries
    wait for fixed times and are deaf to Retry-After: they are off, and ``RemoteCrossEncoder`` puts Beam's back-off
    around it. It is called by the block loop, not by RunInference, which cuts its batches by timing.
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
            raise HardnegError(
                f"cross-encoder {model.shown}: its answer {error}. Nothing is made of such an answer; see that "
                "--cross-encoder-api is its form, and that the server is sound."
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
            HardnegError: the server cannot be reached, or answers with anything but a score.
        """
        self._ask([("What is rain?", "Rain is water.")], threading.Event(), _TRIES_OF_CHECK)

    def score(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' logits and whether each was cut (never known): float32 and bool, shape (n,).

        Raises:
            HardnegError: the server fails, or answers with anything but scores.
        """
        logits = np.full(len(queries), np.nan, dtype=np.float32)
        for rows, scores, _ in self.parts(queries, passages):
            logits[rows] = scores
        return logits, np.zeros(len(queries), dtype=bool)

    def parts(self, queries: Sequence[str], passages: Sequence[str]) -> Iterator[Part]:
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
        backoff = self.spec.backoff
        waiting = _Waiting(stop, backoff.longest)
        trying = with_exponential_backoff(
            num_retries=tries - 1,
            initial_delay_secs=backoff.first,
            max_delay_secs=backoff.longest,
            retry_filter=waiting.for_error,
            clock=waiting,
            logger=_say_nothing,
        )
        try:
            return trying(handler.run_inference)(pairs, client)
        except TransientError as error:
            if stop.is_set():
                return None
            raise HardnegError(
                f"cross-encoder {client.shown}: its server {error}, {_times(tries)}; see that it runs and is not "
                "overloaded, and start the same command again: scores that it gave are kept."
            ) from None


class _Waiting:
    """The clock of Beam's back-off for one request: it waits as long as the server asks, and can be stopped."""

    def __init__(self, stop: threading.Event, longest: float) -> None:
        self._stop = stop
        self._longest = longest
        self._after = 0.0

    def for_error(self, error: Exception) -> bool:
        """Return whether to try again after an error."""
        if not isinstance(error, TransientError) or self._stop.is_set():
            return False
        self._after = min(error.after, self._longest)
        return True

    def sleep(self, seconds: float) -> None:
        self._stop.wait(max(seconds, self._after))


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


def _say_nothing(*_: Any) -> None:
    """Take no notice of a try that failed: the last one says it."""
