"""What rerank servers are asked, and the logits in what they answer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from hardneg.errors import parameter

# tei: text-embeddings-inference. jina: also Cohere's, vLLM's, Infinity's. jina-logits: that, as llama.cpp answers.
Api = Literal["tei", "jina", "jina-logits"]
LARGEST_LOGIT = math.log(2.0**24 - 1)  # of a sigmoid: beyond it, float32 takes the sigmoid for 1


class BadAnswerError(ValueError):
    """An answer that is not a score for each passage; its text completes "its answer ..."."""


def form_of(address: str) -> Api:
    """Return the form that an address is taken to have: Jina's if its path has a part such as v1, else TEI's."""
    return "jina" if any(re.fullmatch(r"v\d+", part) for part in urlsplit(address).path.split("/")) else "tei"


def question(api: Api, name: str | None, query: str, passages: Sequence[str]) -> bytes:
    """Return the body of a request for one query's scores."""
    body: dict[str, Any] = {"query": query}
    if api == "tei":
        body |= {"texts": list(passages), "raw_scores": True, "truncate": True}
    else:
        body |= {"documents": list(passages), "top_n": len(passages)}
    if name is not None:
        body["model"] = name
    return json.dumps(body).encode()


def logits_in(api: Api, body: bytes, count: int) -> npt.NDArray[np.float32]:
    """Return the logits in an answer, in the order of the passages, float32, shape (count,).

    ``jina`` answers with sigmoids; their logit is the inverse sigmoid, within +-``LARGEST_LOGIT``.

    Raises:
        BadAnswerError: anything but one finite score for each passage.
    """
    scores = _scores(_entries(api, body), "score" if api == "tei" else "relevance_score", count)
    if api != "jina":
        with np.errstate(over="ignore"):
            logits = np.array(scores, dtype=np.float64).astype(np.float32)
        if not np.isfinite(logits).all():
            raise BadAnswerError("has a score that is too large for a logit")
        return logits
    for score in scores:
        if not 0 <= score <= 1:
            raise BadAnswerError(
                f"has the score {score:g}, which is no sigmoid (0 to 1); if it gives raw logits, say "
                f"{parameter('cross_encoder_api')} jina-logits"
            )
    values = np.array(scores, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(values) - np.log1p(-values), -LARGEST_LOGIT, LARGEST_LOGIT).astype(np.float32)


def _entries(api: Api, body: bytes) -> list[Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswerError("is not JSON") from None
    if api != "tei":
        answer = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(answer, list):
        raise BadAnswerError("is not a list of scores" if api == "tei" else 'has no list "results"')
    return answer


def _scores(entries: list[Any], field: str, count: int) -> list[float]:
    if len(entries) != count:
        raise BadAnswerError(f"has {len(entries)} scores for {count} passages")
    scores: list[float | None] = [None] * count
    for entry in entries:
        index, score = (entry.get("index"), entry.get(field)) if isinstance(entry, dict) else (None, None)
        if type(index) is not int or not 0 <= index < count:
            raise BadAnswerError(f"has the index {_short(index)}, which is none of its {count} passages")
        if scores[index] is not None:
            raise BadAnswerError(f"scores passage {index} twice")
        scores[index] = _number(score)
    return [score for score in scores if score is not None]


def _number(score: Any) -> float:
    try:
        number = float(score) if type(score) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadAnswerError(f"has the score {_short(score)}, which is not a finite number")
    return number


def _short(value: Any) -> str:
    """Return a value for an error; of what is no small number only its type, for it may be long, or a key."""
    small = type(value) is int and abs(value) < 10**9
    return repr(value) if small or type(value) in (float, bool, type(None)) else f"of type {type(value).__name__}"
