"""One request to a rerank server over HTTP: what comes back, or a sentence that says what went wrong."""

from __future__ import annotations

import os
import ssl
import time
from email.utils import parsedate_to_datetime

import httpx2

from hardneg import __version__
from hardneg.errors import OptionError, ServiceError, parameter

KEY_VARIABLE = "HARDNEG_API_KEY"
MOST_BYTES = 32 << 20  # of an answer; some servers send the passages back
_MOST_SAID = 200  # characters of an answer that an error quotes


class TransientError(Exception):
    """What may pass if it is tried again; its text completes "its server ...".

    Attributes:
        after: seconds that the server asks to wait; 0 if it does not say.
    """

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


class Client:
    """Posts JSON to one address, with the key from the environment, and follows no redirect.

    Neither texts nor the key go anywhere but to the address that was given, or to the environment's proxy.

    Args:
        address: http or https.
        timeout: seconds that a connection may be silent, and that a body may take.
        most_bytes: of an answer.
    """

    def __init__(self, address: str, timeout: float, most_bytes: int = MOST_BYTES) -> None:
        self.shown = address.partition("?")[0]
        self._address = address
        self._timeout = timeout
        self._most_bytes = most_bytes
        self._http = httpx2.Client(
            timeout=timeout,
            follow_redirects=False,
            verify=ssl.create_default_context(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"hardneg/{__version__}",
            },
        )

    def post(self, body: bytes) -> bytes:
        """Return the body of the answer.

        Raises:
            TransientError: 408, 429, 5xx, no connection, no answer in time, an answer that broke off.
            ServiceError: it refuses the request, redirects it, answers without end, or cannot be trusted.
        """
        key = api_key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with self._http.stream("POST", self._address, content=body, headers=headers) as response:
                if not response.is_success:
                    raise self._refusal(response, key)
                return self._read(response)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    def _read(self, response: httpx2.Response) -> bytes:
        until = time.monotonic() + self._timeout
        data = bytearray()
        try:
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > self._most_bytes:
                    raise ServiceError(
                        f"cross-encoder {self.shown}: its answer is longer than {self._most_bytes >> 20} MiB; see that "
                        "the address is that of a reranker."
                    )
                if time.monotonic() > until:
                    raise httpx2.ReadTimeout("", request=response.request)
        except httpx2.RemoteProtocolError:
            raise TransientError("broke its answer off") from None
        return bytes(data)

    def _refusal(self, response: httpx2.Response, key: str) -> Exception:
        """Return what a status other than 2xx means."""
        status, said = response.status_code, _said(response, key)
        if status in (408, 429) or status >= 500:
            return TransientError(f"answers {status}{said}", _seconds(response.headers.get("Retry-After")))
        if 300 <= status < 400:
            return ServiceError(
                f"cross-encoder {self.shown}: it redirects ({status}), and hardneg follows no redirect, for texts and "
                "key would go elsewhere; give the final address."
            )
        named = [parameter(f"cross_encoder_{name}") for name in ("api", "name", "batch")]
        advice = f"see that {named[0]}, {named[1]} and {named[2]} are what it takes"
        if status in (401, 403):
            advice = f"put a key that it accepts into the environment variable {KEY_VARIABLE}"
        elif status in (404, 405):
            advice = "give the whole address of its rerank endpoint, such as http://HOST/rerank"
        return ServiceError(f"cross-encoder {self.shown}: it refuses a request ({status}{said}); {advice}.")

    def _unreachable(self, error: httpx2.HTTPError) -> Exception:
        if isinstance(error, httpx2.TimeoutException):
            return TransientError(f"does not answer within {self._timeout:g} s")
        cause: BaseException = error
        while under := cause.__cause__ or cause.__context__:  # the library's own, down to the system's
            cause = under
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ServiceError(
                f"cross-encoder {self.shown}: its certificate is not trusted ({cause.verify_message}); trust its "
                "issuer (SSL_CERT_FILE), or mend the address."
            )
        reason = getattr(cause, "strerror", None) or type(cause).__name__
        return TransientError(f"cannot be reached ({reason})")


def api_key() -> str:
    """Return the key from the environment, empty if there is none.

    Raises:
        OptionError: it holds what no header can.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise OptionError(f"{KEY_VARIABLE}: it holds a character that no key has; set it to the key alone.")
    return key


def _said(response: httpx2.Response, key: str) -> str:
    """Return the start of what came with a refusal, printable and without the key, for a sentence."""
    try:
        data = next(response.iter_bytes(1 << 14), b"")
    except httpx2.HTTPError:
        return ""
    text = data.decode("utf-8", errors="replace")
    if key:
        text = text.replace(key, "***")
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return f": {text[:_MOST_SAID]}{'...' if len(text) > _MOST_SAID else ''}" if text else ""


def _seconds(after: str | None) -> float:
    """Return the seconds in a Retry-After header: a number or a date; 0 if there is none, or nonsense."""
    try:
        seconds = float(after or 0)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(str(after)).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0
