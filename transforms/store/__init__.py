"""What models computed, by content: embeddings and logits that outlive a run, and whoever asks again is given them.

A ``Shelf`` holds the values of one model; its files are whole or not there, sorted by key, and read by key range.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "filling": ["Filling"],
        "known_models": ["described", "share_of_unknown_tokens"],
        "shelf": ["Hits", "LOGIT_ROW", "Shelf", "embedding_shelf", "logit_shelf"],
        "upkeep": ["Dropped", "ShelfSummary", "collect_garbage", "list_shelves", "verify_shelves"],
        "uses": ["StorePlace", "begin_use", "end_use", "use_name", "values_of"],
        "value_keys": ["EMBEDDING_KEY", "ValueKeys", "embedding_keys", "key_ranges", "logit_keys"],
    },
)
