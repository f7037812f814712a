"""One request to a rerank server over HTTP: what comes back, or a sentence that says what went wrong."""

from __future__ import annotations

import os
import ssl
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any

from hardneg import __version__
from hardneg.errors import HardnegError

KEY_VARIABLE = "HARDNEG_API_KEY"
_MOST_BYTES = 32 << 20  # of an answer; some servers send the passages back
_MOST_SAID = 200  # characters of an answer that an error quotes


class TransientError(Exception):
    """What may pass if it is tried again; its text completes "its server ...".

    Attributes:
        after: seconds that the server asks to wait; 0 if it does not say.
    """

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Neither texts nor the key go anywhere but to the address that was given."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """Posts JSON to one address, with the key from the environment, and follows no redirect.

    Args:
        address: http or https.
        timeout: seconds that a connection may be silent, and that a body may take.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self.shown = address.partition("?")[0]
        self._address = address
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirects)

    def post(self, body: bytes) -> bytes:
        """Return the body of the answer.

        Raises:
            TransientError: 408, 429, 5xx, no connection, no answer in time, an answer that broke off.
            HardnegError: it refuses the request, redirects it, answers without end, or cannot be trusted.
        """
        key = api_key()
        request = urllib.request.Request(
            self._address,
            data=body,
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": f"hardneg/{__version__}",
            },
        )
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return self._read(response)
        except urllib.error.HTTPError as error:
            raise self._refusal(error, key) from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None

    def _read(self, response: HTTPResponse) -> bytes:
        until = time.monotonic() + self._timeout
        data = bytearray()
        while chunk := response.read1(1 << 16):
            data += chunk
            if len(data) > _MOST_BYTES:
                raise HardnegError(
                    f"cross-encoder {self.shown}: its answer is longer than {_MOST_BYTES >> 20} MiB; see that the "
                    "address is that of a reranker."
                )
            if time.monotonic() > until:
                raise TimeoutError
        if response.length:
            raise TransientError("broke its answer off")
        return bytes(data)

    def _refusal(self, error: urllib.error.HTTPError, key: str) -> Exception:
        """Return what a status other than 2xx means."""
        status, said = error.code, _said(error, key)
        if status in (408, 429) or status >= 500:
            return TransientError(f"answers {status}{said}", _seconds(error.headers.get("Retry-After")))
        if 300 <= status < 400:
            return HardnegError(
                f"cross-encoder {self.shown}: it redirects ({status}), and hardneg follows no redirect, for texts and "
                "key would go elsewhere; give the final address."
            )
        advice = "see that --cross-encoder-api, --cross-encoder-name and --cross-encoder-batch are what it takes"
        if status in (401, 403):
            advice = f"put a key that it accepts into the environment variable {KEY_VARIABLE}"
        elif status in (404, 405):
            advice = "give the whole address of its rerank endpoint, such as http://HOST/rerank"
        return HardnegError(f"cross-encoder {self.shown}: it refuses a request ({status}{said}); {advice}.")

    def _unreachable(self, error: Any) -> Exception:
        if isinstance(error, ssl.SSLCertVerificationError):
            return HardnegError(
                f"cross-encoder {self.shown}: its certificate is not trusted ({error.verify_message}); trust its "
                "issuer (SSL_CERT_FILE), or mend the address."
            )
        if isinstance(error, TimeoutError):
            return TransientError(f"does not answer within {self._timeout:g} s")
        reason = getattr(error, "strerror", None) or type(error).__name__
        return TransientError(f"cannot be reached ({reason})")


def api_key() -> str:
    """Return the key from the environment, empty if there is none.

    Raises:
        HardnegError: it holds what no header can.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise HardnegError(f"{KEY_VARIABLE}: it holds a character that no key has; set it to the key alone.")
    return key


def _said(error: urllib.error.HTTPError, key: str) -> str:
    """Return the start of what came with a refusal, printable and without the key, for a sentence."""
    try:
        text = error.read(1 << 14).decode("utf-8", errors="replace")
    except (OSError, HTTPException, ValueError):
        return ""
    finally:
        error.close()
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
