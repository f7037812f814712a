"""Models: what is asked of one, where its files are, its fingerprint, and embeddings and logits from texts.

The same texts give the same bits, whatever they are batched with. What computes a network is a ``Backend``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["loaded"],  # its functions are called what models are called
    submod_attrs={
        "backends.backend": ["Backend", "Encoder"],
        "backends.registry": ["BACKENDS", "backend_named"],
        "backends.torch_backend": ["default_dtype"],
        "bi_encoder": ["BiEncoder", "Role"],
        "cross_encoder": ["CrossEncoder", "ScoredPart"],
        "files": ["LOAD_ERRORS", "find_model", "has_head"],
        "fingerprint": ["describe_model", "files_digest", "versions_of"],
        "loaded": ["Reranker", "cached", "clear", "evict", "from_files", "run_in_this_process", "use_threads"],
        "served.cross_encoder": ["RemoteCrossEncoder"],
        "served.forms": ["Api", "form_of"],
        "served.spec": ["RemoteSpec"],
        "spec": ["BUNDLED", "MULTILINGUAL", "ModelKind", "ModelSpec"],
        "tokens": ["check_tokenizer", "check_unknown_tokens", "token_limit", "unknown_share"],
    },
)
