"""What is asked of a served cross-encoder: where it is, in which form it is asked, and how often again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hardneg.transforms.models.served.forms import Api
from hardneg.transforms.models.spec import ModelKind


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
    kind: ClassVar[ModelKind] = "cross-encoder"
