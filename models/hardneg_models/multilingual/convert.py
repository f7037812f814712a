"""From the file of a 4-bit encoder to the files that sentence-transformers loads: configuration, tokenizer, weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hardneg_models.multilingual.e5_file import E5File, Pieces
from hardneg_models.multilingual.weights import write_weights


def convert(source: E5File, folder: Path) -> None:
    """Write a model as the files that sentence-transformers loads.

    Args:
        folder: an empty one.

    Raises:
        ConversionError: a tensor is missing or has another size than the model's.
        OSError: the folder cannot be written.
    """
    write_weights(folder / "model.safetensors", source)
    limit = source.sizes.positions
    texts = {
        "config.json": _config(source),
        "tokenizer_config.json": _tokenizer_config(source.pieces, limit),
        "sentence_bert_config.json": {"max_seq_length": limit, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "__version__": {"sentence_transformers": "5.2.0"},
            # sentence-transformers adds an empty "document", which it prefers to "passage", where there is none.
            "prompts": {"query": "query: ", "document": "passage: ", "passage": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "1_Pooling/config.json": {"word_embedding_dimension": source.sizes.hidden, "pooling_mode_mean_tokens": True},
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(
                [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
            )
        ],
    }
    for name, value in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer(source.pieces).to_str(), encoding="utf-8")


def _config(source: E5File) -> dict[str, Any]:
    sizes = source.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "hidden_act": "gelu",
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.token_types,
        "layer_norm_eps": sizes.epsilon,
        "pad_token_id": source.pieces.padding,
        "dtype": "float32",
    }


def _tokenizer_config(pieces: Pieces, limit: int) -> dict[str, Any]:
    beginning, end, padding, unknown = _special(pieces)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": limit,
        "clean_up_tokenization_spaces": False,
        "bos_token": beginning,
        "cls_token": beginning,
        "eos_token": end,
        "sep_token": end,
        "pad_token": padding,
        "unk_token": unknown,
        "mask_token": pieces.scored[-1][0],
    }


def _special(pieces: Pieces) -> list[str]:
    return [pieces.scored[number][0] for number in (pieces.beginning, pieces.end, pieces.padding, pieces.unknown)]


def tokenizer(pieces: Pieces) -> Tokenizer:
    """Return XLM-RoBERTa's tokenizer: Unigram pieces over text normalised as SentencePiece's ``nmt_nfkc`` does.

    That is NFKC after line ends, tabs and invisible characters have become spaces or nothing, and except for the
    full-width tilde of Chinese and Japanese, which it keeps; a noncharacter stands in for it meanwhile.
    """
    made = Tokenizer(models.Unigram(pieces.scored, pieces.unknown, byte_fallback=False))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.Replace("～", "\ufdd0"),
            normalizers.NFKC(),
            normalizers.Replace("\ufdd0", "～"),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    made.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    beginning, end, padding, unknown = _special(pieces)
    made.post_processor = processors.TemplateProcessing(
        single=f"{beginning} $A {end}",
        pair=f"{beginning} $A {end} {end} $B:0 {end}:0",
        special_tokens=[(beginning, pieces.beginning), (end, pieces.end)],
    )
    mask = pieces.scored[-1][0]
    made.add_special_tokens([*dict.fromkeys([beginning, end, padding, unknown]), AddedToken(mask, lstrip=True)])
    return made
