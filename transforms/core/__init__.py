"""What every room stands on: texts and their digests, tables that travel, arrays, storage, counters."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["storage"],
    submod_attrs={
        "arrays": ["BoolArray", "FloatArray", "IntArray", "lowest_of", "sigmoid", "vectors_column"],
        "block": ["Block", "TextsOf", "table_from_bytes", "table_to_bytes"],
        "counters": ["NAMESPACE", "count", "counting_milliseconds"],
        "described": ["about", "in_chinese", "key"],
        "hashing": [
            "digest_keys",
            "file_sha256",
            "id_keys",
            "KeyMap",
            "Keys",
            "occurrence",
            "pair_keys",
            "set_keys",
            "text_keys",
        ],
        "orphans": ["end_with_the_run", "ending_with_this_process"],
        "partition": ["DIGEST", "cut", "part_of", "split_by"],
        "progress": ["read_progress", "record", "StageProgress", "tell_counted", "timed"],
        "schemas": ["BLOCK_TEXTS", "JOINED", "PASSAGES", "QRELS", "QUERIES", "READ_COUNTS", "REJECTED"],
        "shared_work": ["require_copy", "shared_work"],
        "source": ["LOGIT", "first_similarity", "Source"],
        "storage": ["is_local"],
        "text": ["cut_digest", "normalise", "passage_string", "text_digest", "text_id"],
        "tokenization": ["make_tokenizer", "Tokenizer", "TokenizerSpec", "words_and_characters"],
    },
)
