"""What a text *is* here: the passage string, its normalised form, and the digests that cut and compare."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_WHITE_SPACE = re.compile(r"\s+")
_LONG_SYMBOLS = re.compile(r"[^\w\s]{30}")
_JOINER = "\u034f"  # COMBINING GRAPHEME JOINER, which no canonical order crosses


def passage_string(title: str | None, text: str | None) -> str:
    """Return the one string that every stage uses for a passage.

    Title, one space, text; the text alone if the title is empty.
    """
    return f"{title} {text or ''}" if title else text or ""


def normalise(text: str) -> str:
    """Return the form in which texts are compared: NFKC, casefold, runs of white space to one space."""
    # Ordering a run of combining marks takes quadratic time: an hour for 2 MB of them. Breaking it every 30 is
    # Unicode's remedy (UAX 15, Stream-Safe Text Format).
    text = _LONG_SYMBOLS.sub(rf"\g<0>{_JOINER}", text)
    text = unicodedata.normalize("NFKC", text).replace(_JOINER, "")  # it counts as nothing, wherever it came from
    return _WHITE_SPACE.sub(" ", text.casefold()).strip()


def cut_digest(identifier: str) -> int:
    """Return the 63-bit digest of an id that cuts segments, blocks and shards.

    Never Python's ``hash``, which changes from process to process. 63 bits, so that it fits an int64 column.
    """
    digest = hashlib.blake2b(identifier.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def text_id(text: str) -> str:
    """Return the id of a text that has none: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def text_digest(text: str) -> bytes:
    """Return the 16-byte digest of a text's normalised form: equal digests mean the same text."""
    return hashlib.blake2b(normalise(text).encode("utf-8"), digest_size=16).digest()
