"""The options of a cross-encoder that is already served."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from hardneg.errors import parameter
from hardneg.transforms.core.described import about
from hardneg.transforms.models.served.forms import Api, form_of
from hardneg.transforms.models.served.spec import RemoteSpec


class RemoteOptions(BaseModel):
    """How the server of ``--cross-encoder http://...`` is asked; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cross_encoder_revision: str | None = Field(
        None,
        min_length=1,
        description="Always with `--cross-encoder http://...`: what is served there, in your words (a commit, a tag, a "
        "date). Stored scores are used again only under the same one.",
        json_schema_extra=about(
            "`--cross-encoder http://...` 时必给：用自己的话写明那里服务的是什么（提交、标签或日期）。"
            "只有相同时才会再用已存的分数",
            group="served",
        ),
    )
    cross_encoder_api: Api | None = Field(
        None,
        description="The form of requests, where the address does not tell it: `tei` (text-embeddings-inference), "
        "`jina` (also Cohere, vLLM, Infinity), `jina-logits` (the same with raw scores, as of llama.cpp).",
        json_schema_extra=about(
            "请求的格式，从地址看不出来时指定：`tei`（text-embeddings-inference）、`jina`（以及 Cohere、vLLM、"
            "Infinity）、`jina-logits`（同上，但返回原始分数，如 llama.cpp）",
            group="served",
            default=(
                "`jina` if the address has a part like `v1`, else `tei`",
                "地址中有 `v1` 之类时 `jina`，否则 `tei`",
            ),
            file_only=True,
        ),
    )
    cross_encoder_name: str | None = Field(
        None,
        min_length=1,
        description="The model's name, where the server wants it in requests.",
        json_schema_extra=about("服务端要求请求里带的模型名", group="served", default=("none", "无"), file_only=True),
    )
    cross_encoder_batch: int = Field(
        32,
        ge=1,
        le=10_000,
        description="Pairs of one request: fewer if the server refuses so many.",
        json_schema_extra=about("一次请求的（查询，段落）对数；服务端嫌多就调小", group="served", file_only=True),
    )
    cross_encoder_requests: int = Field(
        4,
        ge=1,
        le=256,
        description="Requests in flight from each worker process: more for a large server, `1` for a small quota.",
        json_schema_extra=about(
            "每个工作进程同时发出的请求数；服务端强就调大，配额小就用 `1`", group="served", file_only=True
        ),
    )
    cross_encoder_timeout: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds after which a silent server has failed, and is asked again: more for a slow one.",
        json_schema_extra=about("服务端多少秒没有回音算失败，并再次请求；慢就调大", group="served", file_only=True),
    )

    def remote_spec(self, address: str, prompts: list[str], max_length: int | None) -> RemoteSpec | None:
        """Return how ``--cross-encoder`` is asked if it is an address; None if it is a model to load.

        Raises:
            ValueError: no address that can be asked, or options that do not fit what it is.
        """
        if not address.lower().startswith(("http://", "https://")):
            for name in ("cross_encoder_revision", "cross_encoder_api", "cross_encoder_name"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{parameter(name)} belongs to a served {parameter('cross_encoder')} (http://...), and "
                        f"{address!r} is loaded here; leave it out (a revision on the hub is written MODEL@REVISION)"
                    )
            return None
        _check_address(address)
        if self.cross_encoder_revision is None:
            raise ValueError(
                f"{parameter('cross_encoder')} {address}: state by {parameter('cross_encoder_revision')} what is "
                "served there (a commit, a tag, a date): scores are kept under it, and must not outlive the model "
                "that gave them"
            )
        if max_length is not None:
            raise ValueError(
                f"{parameter('cross_encoder_max_length')} cannot be told to a served {parameter('cross_encoder')}: set "
                "it where it is served"
            )
        query, passage = [*prompts, "", ""][:2]
        return RemoteSpec(
            address,
            self.cross_encoder_revision,
            self.cross_encoder_api or form_of(address),
            self.cross_encoder_name,
            (query, passage),
            self.cross_encoder_batch,
            self.cross_encoder_requests,
            self.cross_encoder_timeout,
        )


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if "@" in parts.netloc:  # not quoted: it holds a password
        raise ValueError(
            f"{parameter('cross_encoder')}: the address holds a user name or password, which would end up in the "
            "manifest; leave it out, and put a key into the environment variable HARDNEG_API_KEY"
        )
    if not (address.isascii() and address.isprintable() and " " not in address) or parts.fragment or not parts.hostname:
        raise ValueError(
            f"{parameter('cross_encoder')} {address!r} is no address that can be asked; give one such as "
            "http://HOST:8080/rerank"
        )
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(
            f"{parameter('cross_encoder')} {address}: its port is no number up to 65535; mend it"
        ) from None
