"""A served reranker, against a real server on this machine: nothing lost, nothing invented, nothing asked twice."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank_server import KEY, RerankServer, answer, digest_score, refuse, say, silence

from hardneg.errors import HardnegError, OptionError, ServiceError
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.core.arrays import sigmoid
from hardneg.transforms.mining.stored_logits import StoredLogits
from hardneg.transforms.models.served.client import Client, TransientError
from hardneg.transforms.models.served.cross_encoder import RemoteCrossEncoder
from hardneg.transforms.models.served.forms import LARGEST_LOGIT, BadAnswerError, form_of, logits_in, question
from hardneg.transforms.models.served.spec import Backoff, RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.uses import StorePlace

QUICK = Backoff(tries=3, first=0.01, longest=0.02, throttle=0, window=1)
# Three queries with seven, three and one passages: five requests of at most three pairs.
QUERIES = ["otter"] * 4 + ["lynx"] * 3 + ["otter"] * 3 + ["heron"]
PASSAGES = [f"passage {number}, 水獺 🦦" for number in range(11)]
EXPECTED = np.array([digest_score(q, [p])[0] for q, p in zip(QUERIES, PASSAGES, strict=True)], np.float32)


def spec(server: RerankServer, api: str = "tei", **options: Any) -> RemoteSpec:
    address = server.tei if api == "tei" else server.jina
    return RemoteSpec(address, "v1", **{"api": api, "batch": 3, "timeout": 10.0, "backoff": QUICK, **options})


def message(model: RemoteCrossEncoder, queries: list[str] = QUERIES, passages: list[str] = PASSAGES) -> str:
    """Return the error of scoring."""
    with pytest.raises(HardnegError) as raised:
        model.score(queries, passages)
    assert KEY not in str(raised.value)
    return str(raised.value)


def test_raw_logits_are_taken_as_they_are(server: RerankServer) -> None:
    logits, cut = RemoteCrossEncoder(spec(server)).score(QUERIES, PASSAGES)
    assert logits.tobytes() == EXPECTED.tobytes()
    assert (logits.dtype, cut.dtype, cut.any()) == (np.float32, np.bool_, np.False_)
    bodies = [body for _, _, body in server.requests]
    assert sorted((body["query"], len(body["texts"])) for body in bodies) == [
        *(("heron", 1), ("lynx", 3), ("otter", 1), ("otter", 3), ("otter", 3)),
    ]
    assert {path for path, _, _ in server.requests} == {"/rerank"}
    assert all("Authorization" not in headers for _, headers, _ in server.requests)


def test_of_sigmoids_the_logit_is_the_inverse(server: RerankServer) -> None:
    logits, cut = RemoteCrossEncoder(spec(server, "jina", name="the-model")).score(QUERIES, PASSAGES)
    np.testing.assert_allclose(logits, EXPECTED, atol=1e-5)
    np.testing.assert_allclose(sigmoid(logits), sigmoid(EXPECTED), atol=1e-6)
    assert not cut.any()
    assert {(path, body["model"]) for path, _, body in server.requests} == {("/v1/rerank", "the-model")}


def test_no_pairs_no_request(server: RerankServer) -> None:
    logits, cut = RemoteCrossEncoder(spec(server)).score([], [])
    assert (logits.shape, logits.dtype, cut.shape, cut.dtype) == ((0,), np.float32, (0,), bool)
    assert server.requests == []


def test_prompts_stand_before_both_texts(server: RerankServer) -> None:
    RemoteCrossEncoder(spec(server, prompts=("Q: ", "P: "))).score(["otter"], ["eats fish"])
    assert server.asked == [("Q: otter", "P: eats fish")]


@pytest.mark.parametrize("requests", [1, 2])
def test_as_many_requests_are_in_flight_as_allowed_and_no_more(server: RerankServer, requests: int) -> None:
    """Also where two threads of one process score at once; the server answers when all of them have come."""
    all_here = threading.Barrier(requests)

    def scorer(query: str, passages: list[str]) -> list[float]:
        all_here.wait(timeout=30)
        return digest_score(query, passages)

    server.scorer = scorer
    model = RemoteCrossEncoder(spec(server, batch=1, requests=requests))
    threads = [threading.Thread(target=model.score, args=(QUERIES, PASSAGES)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 22
    assert server.most_at_once == requests


@pytest.mark.parametrize(
    "fault",
    [
        refuse(429), refuse(429, Retry_After="0.01"), refuse(429, Retry_After="1e999"), refuse(500, "oops"),
        refuse(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), refuse(503, Retry_After="never"), refuse(408),
        lambda _: (200, {"Content-Length": "100"}, b"[{"),
    ],
)  # fmt: skip
def test_what_passes_is_tried_again(server: RerankServer, fault: Any) -> None:
    server.faults = [None, fault, fault]
    assert RemoteCrossEncoder(spec(server, requests=1)).score(QUERIES, PASSAGES)[0].tobytes() == EXPECTED.tobytes()
    assert len(server.requests) == 7
    assert len(server.asked) == len(set(server.asked)) == 11


def test_the_server_says_how_long_to_wait(server: RerankServer) -> None:
    """What it asks for is waited for, and not more than the longest wait: an hour would hang the test."""
    server.faults = [refuse(429, Retry_After="3600")]
    assert RemoteCrossEncoder(spec(server)).score(["otter"], ["fish"])[0].tolist() == digest_score("otter", ["fish"])


def test_a_server_that_goes_on_failing_ends_in_a_sentence(server: RerankServer) -> None:
    server.always = refuse(500, 'CUDA \x1b[31m out\n\nof  memory "' + "x" * 1000)
    assert message(RemoteCrossEncoder(spec(server)), ["otter"], ["fish"]) == (
        f'cross-encoder {server.tei}: its server answers 500: CUDA [31m out of memory "{"x" * 175}..., 3 times in a '
        "row; see that it runs and is not overloaded, and start the same command again: scores that it gave are kept."
    )
    assert len(server.requests) == 3


def test_a_silent_server(server: RerankServer) -> None:
    server.always = silence
    said = message(RemoteCrossEncoder(spec(server, timeout=0.05)), ["otter"], ["fish"])
    assert "its server does not answer within 0.05 s, 3 times in a row" in said


def test_no_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = RemoteCrossEncoder(RemoteSpec(f"http://127.0.0.1:{port}/rerank?x=y", "v1", "tei", backoff=QUICK))
    with pytest.raises(HardnegError, match=rf"cross-encoder http://127.0.0.1:{port}/rerank: its server cannot be "):
        model.check()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>", "is not JSON"),
        ('[{"index": 0, "score": 1.0}, {"index": 1, "score":', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"error": "out of memory"}', "is not a list of scores"),
        ("null", "is not a list of scores"),
        ('[{"index": 0, "score": NaN}, {"index": 1, "score": 1}]', "has the score nan, which is not a finite number"),
        ('[{"index": 0, "score": 1}, {"index": 1, "score": 1e999}]', "has the score inf"),
        ('[{"index": 0, "score": 1}, {"index": 1, "score": 1e99}]', "has a score that is too large for a logit"),
        ('[{"index": 0, "score": 1}, {"index": 1, "score": 1' + "0" * 400 + "}]", "has the score of type int"),
        ('[{"index": 0, "score": "9"}, {"index": 1, "score": 1}]', "has the score of type str"),
        ('[{"index": 0, "score": true}, {"index": 1, "score": 1}]', "has the score True"),
        ('[{"index": 0, "score": null}, {"index": 1, "score": 1}]', "has the score None"),
        ('[{"index": 0}, {"index": 1, "score": 1}]', "has the score None"),
        ('[{"index": 0, "score": 1}]', "has 1 scores for 2 passages"),
        ("[]", "has 0 scores for 2 passages"),
        ('[{"index": 0, "score": 1}, {"index": 1, "score": 1}, {"index": 2, "score": 1}]', "has 3 scores for 2"),
        ('[{"index": 1, "score": 1}, {"index": 1, "score": 1}]', "scores passage 1 twice"),
        ('[{"index": 0, "score": 1}, {"index": 2, "score": 1}]', "has the index 2, which is none of its 2 passages"),
        ('[{"index": -1, "score": 1}, {"index": 0, "score": 1}]', "has the index -1"),
        ('[{"index": 0.0, "score": 1}, {"index": 1, "score": 1}]', "has the index 0.0"),
        ('[{"index": false, "score": 1}, {"index": 1, "score": 1}]', "has the index False"),
        ('[{"score": 1}, {"index": 1, "score": 1}]', "has the index None"),
        ("[0.1, 0.2]", "has the index None"),
        ('[{"index": "' + KEY + '", "score": 1}, {"index": 1, "score": 1}]', "has the index of type str"),
    ],
)  # fmt: skip
def test_no_score_is_made_of_a_wrong_answer(server: RerankServer, body: str, said: str) -> None:
    server.always = say(body)
    error = message(RemoteCrossEncoder(spec(server)), ["otter"] * 2, ["one", "two"])
    assert error.startswith(f"cross-encoder {server.tei}: its answer {said}")
    assert error.endswith("see that cross_encoder_api is its form, and that the server is sound.")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{"index": 0, "score": 0.5}], 'has no list "results"'),
        ({"results": {"0": 0.5}}, 'has no list "results"'),
        ({"results": [{"index": 0, "score": 0.5}]}, "has the score None"),
        ({"results": [{"index": 0, "relevance_score": 7.25}]}, "has the score 7.25, which is no sigmoid"),
        ({"results": [{"index": 0, "relevance_score": -0.01}]}, "has the score -0.01, which is no sigmoid"),
    ],
)
def test_wrong_answers_in_the_other_form(server: RerankServer, value: Any, said: str) -> None:
    server.always = lambda _: answer(value)
    assert said in message(RemoteCrossEncoder(spec(server, "jina")), ["otter"], ["one"])


def test_raw_logits_in_the_other_form(server: RerankServer) -> None:
    server.always = lambda _: answer({"results": [{"index": 0, "relevance_score": -7.25}]})
    assert RemoteCrossEncoder(spec(server, "jina-logits")).score(["otter"], ["one"])[0].tolist() == [-7.25]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_sigmoid_of_the_logit_is_the_score(scores: list[float]) -> None:
    body = json.dumps({"results": [{"index": place, "relevance_score": each} for place, each in enumerate(scores)]})
    logits = logits_in("jina", body.encode(), len(scores))
    assert (np.abs(logits) <= np.float32(LARGEST_LOGIT)).all()
    np.testing.assert_allclose(sigmoid(logits), np.array(scores), atol=2e-6 * max(1, LARGEST_LOGIT / 8))
    order = np.argsort(scores, kind="stable")
    assert (np.diff(logits[order]) >= 0).all()


def test_the_ends_of_the_scale() -> None:
    body = json.dumps({"results": [{"index": 0, "relevance_score": 0}, {"index": 1, "relevance_score": 1}]})
    assert logits_in("jina", body.encode(), 2).tolist() == [-np.float32(LARGEST_LOGIT), np.float32(LARGEST_LOGIT)]


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers(-2, 3) | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["index", "score", "relevance_score", "results"]), inner)),
       st.sampled_from(["tei", "jina", "jina-logits"]), st.integers(1, 3))  # fmt: skip
def test_any_answer_is_scores_or_an_error(value: Any, api: Any, count: int) -> None:
    try:
        logits = logits_in(api, json.dumps(value).encode(), count)
    except BadAnswerError:
        return
    assert logits.shape == (count,)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "refuses a request (400: no); see that cross_encoder_api, cross_encoder_name and"),
        (401, "(401: no); put a key that it accepts into the environment variable HARDNEG_API_KEY."),
        (404, "(404: no); give the whole address of its rerank endpoint, such as http://HOST/rerank."),
        (413, "(413: no); see that cross_encoder_api, cross_encoder_name and cross_encoder_batch are what"),
    ],
)
def test_what_is_refused_is_not_tried_again(server: RerankServer, status: int, said: str) -> None:
    server.always = refuse(status, "no")
    assert said in message(RemoteCrossEncoder(spec(server)), ["otter"], ["one"])
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: RerankServer, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("HARDNEG_API_KEY", KEY)
    with RerankServer().running() as other:
        server.always = refuse(status, Location=other.tei)
        assert f"it redirects ({status})" in message(RemoteCrossEncoder(spec(server)), ["otter"], ["one"])
        assert other.requests == []


def test_an_answer_without_end(server: RerankServer) -> None:
    server.always = say(" " * (2 << 20))
    client = Client(server.tei, timeout=10.0, most_bytes=1 << 20)
    with pytest.raises(ServiceError, match="its answer is longer than 1 MiB; see that the address is that of a"):
        client.post(question("tei", None, "otter", ["one"]))


def test_an_answer_that_drips(server: RerankServer) -> None:
    """Each byte comes in time, and the whole does not."""
    server.drip = 0.05
    with pytest.raises(TransientError, match=r"^does not answer within 0\.4 s$"):
        Client(server.tei, timeout=0.4).post(question("tei", None, "otter", ["one"]))


def test_the_environments_proxy_is_used_and_no_other(server: RerankServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with RerankServer().running() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        proxy.always = refuse(403, "by the proxy")
        assert "(403: by the proxy)" in message(RemoteCrossEncoder(spec(server)), ["otter"], ["one"])
        assert server.requests == []
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        RemoteCrossEncoder(spec(server)).check()
        assert len(proxy.requests) == 1


def test_the_key_is_sent_and_never_said(server: RerankServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDNEG_API_KEY", f" {KEY}\n")
    model = RemoteCrossEncoder(spec(server))
    model.check()
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(model.description) + repr(model.spec)
    server.always = refuse(401, f"the key {KEY} is not known")
    assert "401: the key *** is not known" in message(model)
    server.always = refuse(500, f"the key {KEY} is not known")
    message(model)


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_a_key_that_is_none(server: RerankServer, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("HARDNEG_API_KEY", key)
    said = message(RemoteCrossEncoder(spec(server)), ["otter"], ["one"])
    assert said == "HARDNEG_API_KEY: it holds a character that no key has; set it to the key alone."
    assert server.requests == []


def test_the_fingerprint_is_what_the_user_states(server: RerankServer) -> None:
    base = spec(server)
    same = [base, replace(base, batch=9), replace(base, requests=9), replace(base, timeout=9.0)]
    other = [
        replace(base, revision="v2"), replace(base, model=server.jina), replace(base, api="jina"),
        replace(base, name="n"), replace(base, prompts=("Q", "")), replace(base, prompts=("", "Q")),
    ]  # fmt: skip
    assert len({RemoteCrossEncoder(each).fingerprint for each in same}) == 1
    assert len({RemoteCrossEncoder(each).fingerprint for each in [base, *other]}) == 7


def stored(work: str, asking: RemoteSpec) -> StoredLogits:
    """Return what a block of a run, or of the next one, would make."""
    return StoredLogits(work, StorePlace(f"{work}/store"), asking)


def test_a_stored_pair_is_not_asked_again(server: RerankServer, tmp_path: Path) -> None:
    """In another call, in another process, and after a failure midway; under another revision it is."""
    work = str(tmp_path / "work")
    asking = spec(server, requests=1)
    server.faults = [None, None, refuse(400)]
    with pytest.raises(HardnegError, match="refuses a request"):
        stored(work, asking)(QUERIES, PASSAGES)
    assert len(server.asked) == 6
    for _ in range(2):
        logits, cut = stored(work, asking)(QUERIES * 2, PASSAGES * 2)
        assert logits.tobytes() == EXPECTED.tobytes() * 2
        assert not cut.any()
        assert len(server.asked) == len(set(server.asked)) == 11
    stored(work, replace(asking, revision="v2"))(QUERIES, PASSAGES)
    assert len(server.asked) == 22


@pytest.mark.parametrize("place", range(5))
def test_one_failed_request_loses_no_other(server: RerankServer, tmp_path: Path, place: int) -> None:
    """Of several in flight, all that were answered are kept, whichever fails."""
    work = str(tmp_path / "work")
    server.faults = [None] * place + [say("broken")]
    with pytest.raises(HardnegError, match="is not JSON"):
        stored(work, spec(server))(QUERIES, PASSAGES)
    assert stored(work, spec(server))(QUERIES, PASSAGES)[0].tobytes() == EXPECTED.tobytes()
    assert len(server.asked) == len(set(server.asked)) == 11


@pytest.mark.parametrize(
    ("address", "api"),
    [
        ("http://h/rerank", "tei"), ("http://h:1/", "tei"), ("https://h/models/v1x/rerank", "tei"),
        ("https://api.jina.ai/v1/rerank", "jina"), ("https://h/v2/rerank", "jina"), ("http://h/v3/rerank?a=b", "jina"),
        ("http://v1/rerank?x=/v1/", "tei"),
    ],
)  # fmt: skip
def test_the_form_is_told_from_the_path(address: str, api: str) -> None:
    assert form_of(address) == api
    config = MineConfig(output="out", cross_encoder=address, cross_encoder_revision="r")
    assert isinstance(config.cross_encoder_spec, RemoteSpec)
    assert config.cross_encoder_spec.api == api


def test_options(server: RerankServer) -> None:
    config = MineConfig(
        output="out", cross_encoder=server.tei, cross_encoder_revision="r", cross_encoder_api="jina-logits",
        cross_encoder_name="n", cross_encoder_prompt=["Q: "], cross_encoder_batch=7, cross_encoder_requests=2,
        cross_encoder_timeout=5,
    )  # fmt: skip
    assert config.cross_encoder_spec == RemoteSpec(server.tei, "r", "jina-logits", "n", ("Q: ", ""), 7, 2, 5.0)
    assert isinstance(MineConfig(output="out").cross_encoder_spec, ModelSpec)


SERVED = "http://h/rerank"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cross_encoder": SERVED}, "state by cross_encoder_revision what is served there"),
        ({"cross_encoder_revision": "r"}, "cross_encoder_revision belongs to a served cross_encoder"),
        ({"cross_encoder_api": "tei"}, "cross_encoder_api belongs to a served"),
        ({"cross_encoder_name": "n"}, "cross_encoder_name belongs to a served"),
        ({"cross_encoder": "http://me:secret@h/rerank", "cross_encoder_revision": "r"}, "a user name or password"),
        ({"cross_encoder": "http://h/re rank", "cross_encoder_revision": "r"}, "is no address that can be asked"),
        ({"cross_encoder": "http://h/rerank#x", "cross_encoder_revision": "r"}, "is no address that can be asked"),
        ({"cross_encoder": "http:///rerank", "cross_encoder_revision": "r"}, "is no address that can be asked"),
        ({"cross_encoder": "http://h:99999/", "cross_encoder_revision": "r"}, "its port is no number up to 65535"),
        ({"cross_encoder": SERVED, "cross_encoder_revision": "r", "cross_encoder_max_length": 64}, "where it is"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as raised:
        checked(MineConfig, {"output": "out", **options})
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)
