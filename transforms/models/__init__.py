"""Models: what is asked of one, where its files are, its fingerprint, and embeddings and logits from texts.

The same texts give the same bits, whatever they are batched with. What computes a network is a ``Backend``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backends.backend": ["Backend", "Encoder"],
        "backends.registry": ["BACKENDS", "backend_named"],
        "bi_encoder": ["BiEncoder"],
        "cross_encoder": ["CrossEncoder", "Part"],
        "files": ["find_model", "has_head"],
        "fingerprint": ["describe_model", "files_digest"],
        "loaded": ["cached", "clear", "evict", "from_files", "run_in_this_process", "use_threads"],
        "spec": ["BUNDLED", "MULTILINGUAL", "Kind", "ModelSpec"],
        "tokens": ["check_tokenizer", "check_unknown_tokens", "token_limit", "unknown_share"],
    },
)
