"""Local patterns stand for the files that Beam finds for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.io.localfilesystem import LocalFileSystem
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given
from hypothesis import strategies as st

from hardneg.transforms.core.local_files import match_local

NAMES = ["a.txt", "b.txt", "ab", ".hidden", "[x].txt", "in/a.txt", "in/deep/c^.txt", "-", "a\\b"]
PATTERN = st.lists(
    st.sampled_from(["*", "**", "?", "[ab]", "[!a]", "[^c]", "[]x]", "[", "]", "a", ".txt", "in", "/", "-", "\\"]),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@given(PATTERN)
def test_a_pattern_matches_what_beam_matches(folder: Path, pattern: str) -> None:
    whole = f"{folder}/{pattern}"
    [found] = LocalFileSystem(PipelineOptions([])).match([whole])
    expected = sorted((each.path, each.size_in_bytes, each.last_updated_in_seconds) for each in found.metadata_list)
    assert [tuple(each) for each in match_local(whole)] == expected


def test_brackets_and_hidden_files_are_found(folder: Path) -> None:
    assert [each.path for each in match_local(f"{folder}/[[]x].txt")] == [f"{folder}/[x].txt"]
    assert len(match_local(f"{folder}/*")) == len([name for name in NAMES if "/" not in name and "\\" not in name])
