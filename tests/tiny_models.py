"""Small random models with a real tokenizer, for what does not depend on what a model has learnt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec

HIDDEN = 16
# How far the logits of a spread model lie apart: as wide as those of a real cross-encoder.
LOGITS_DEVIATION = 3.0


def save_tokenizer(folder: Path) -> None:
    AutoTokenizer.from_pretrained(find_model(ModelSpec("bi-encoder", "bundled"))).save_pretrained(folder)


def save_tiny(folder: Path, outputs: int = 1, head: bool = True, seed: int = 0) -> Path:
    """Save a random BERT of one narrow layer; ``head``: with a classifier of ``outputs`` outputs."""
    return _save(_tiny(outputs, head, seed), folder)


def save_spread(folder: Path) -> Path:
    """Save a tiny cross-encoder about half of whose logits are above zero, so that any threshold divides them."""
    model = _tiny(outputs=1, head=True)
    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    foods = {"Norway": "trout", "Galicia": "chestnuts", "Silesia": "frogs", "Crete": "olives", "Wales": "eels"}
    known = [(animal, place) for animal in ("otter", "lynx", "stork") for place in foods]
    queries = [f"What does the {animal} eat in {place}?" for animal, place in known]
    passages = [
        f"The {animal} In {place} the {animal} lives near water and eats mostly {foods[place]}."
        for animal, place in known
    ]
    pairs = tokenizer(
        [query for query in queries for _ in passages], passages * len(queries), return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        logits = model(**pairs).logits
        scale = LOGITS_DEVIATION / logits.std()
        model.classifier.weight *= scale
        model.classifier.bias -= scale * logits.mean()
    return _save(model, folder)


def save_tiny_sentence_transformer(folder: Path) -> Path:
    """Save a tiny bi-encoder in the layout of sentence-transformers: mean of the tokens, normalised."""
    save_tiny(folder, head=False)
    real = find_model(ModelSpec("bi-encoder", "bundled"))
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        shutil.copy(real / name, folder)
    pooling = json.loads((real / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling | {"word_embedding_dimension": HIDDEN}))
    return folder


def _tiny(outputs: int, head: bool, seed: int = 0) -> BertForSequenceClassification | BertModel:
    torch.manual_seed(seed)
    config = BertConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=outputs,
        initializer_range=1.0,  # so that texts differ
    )
    return (BertForSequenceClassification if head else BertModel)(config).eval()


def _save(model: BertForSequenceClassification | BertModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def with_embedding(model: Path, folder: Path, word: str, value: float) -> Path:
    """Copy a model with another word embedding of one word, the same number throughout."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(word)] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
