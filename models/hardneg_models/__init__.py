"""The cross-encoder behind ``--cross-encoder bundled``, for machines that reach no model hub, and for tests.

The folder ``cross_encoder`` beside this file is an ordinary Hugging Face model folder; its README.md is the
model card. The distribution has a version of its own, so that a new model is not a new wheel of the code.
"""

from pathlib import Path

__version__ = "0.1.0"

# SHA-256 of every file that a score depends on. A damaged file must never become a score.
CROSS_ENCODER_SHA256 = {
    "config.json": "fdf941e4af9845f8af5a18f66e13f67fd17d3ef1e6086bba22697bd9f43f735c",
    "model.safetensors": "e50f967268bca84384a9e90a1ad877379678e77d0333dbdf6202958af7ac27b4",
    "tokenizer.json": "b5662d3f6cd6b00c3dc6710758c9dba07bf1d025ff598c2cef94b3fce6e9f590",
    "tokenizer_config.json": "0c300d9500eab2162f4266fa387a219fe81461e93af11acec6f97415d77e544d",
}


def cross_encoder_path() -> Path:
    """Return the folder of the bundled cross-encoder."""
    return Path(__file__).resolve().parent / "cross_encoder"
