"""The page of a run: what is on it agrees with candidates/, texts are escaped, nothing is loaded, it fits a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from finished_run import write_run
from mined_runs import FEW_QUERIES, Mine
from report_cases import NEGATIVES, SOURCES, Rows, denoising_of, judged, random_rows

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.commands import publish
from hardneg.pipelines.commands.export import export
from hardneg.pipelines.options.finished import ExportOptions, ReportOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report.html import write_report
from hardneg.pipelines.report.page import language_of, shortened
from hardneg.pipelines.report.reason_texts import VERDICTS, meaning, verdict_table
from hardneg.pipelines.report.report import Report, report
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.filters.registry import meanings
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.funnel import funnel
from hardneg.transforms.reports.highlights import Highlights, highlights
from hardneg.transforms.reports.tallies import GROUPS

ROOT = Path(__file__).parents[2]
FEW = ReportOptions(targets=[0.1], leak_rates=[0.1], sigmoids=[0.3])
SCRIPT = "<script>alert('in')</script>"
IMAGE = '"><img src=https://example.org/x.png onerror=alert(1)> {{ 7 * 7 }} {% raw %} $x$ \x1b[31m'
CHINESE = "水獭住在河边，主要吃鱼；“黄昏”时才出来。"
WILD = (SCRIPT, IMAGE, CHINESE, "x" * 5000, "Ελλάδα & עברית")
ALLOWED = (
    "html head meta title style body header main footer section h1 h2 h3 p span bdi b br code dl dt dd div figure "
    "figcaption table tr th td details summary ol li svg g path text defs clippath rect use tspan"
)


class Page(HTMLParser):
    """A page's elements with their attributes, the text of each section, and the ids of the pairs in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: Counter[str] = Counter()
        self.ids: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.section, self._in_id, self._table = "", False, ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "section":
            self.section = given["id"] or ""
        if tag == "table":
            self._table = given.get("data-score") or ""
        if tag == "tr" and self._table:
            self.tables.setdefault(self._table, []).append([])
        self._in_id = tag == "bdi" and given.get("class") == "id"

    def handle_endtag(self, tag: str) -> None:
        self._in_id = False

    def handle_data(self, data: str) -> None:
        self.texts[data] += 1
        if self._in_id:
            self.ids.setdefault(self.section, []).append(data)
        if self._table and data.strip():
            self.tables[self._table][-1].append(data)


def write(folder: Path, rows: Rows, target: Target, **options: Any) -> tuple[Path, Rows]:
    """Write a run whose ids and texts are wild; return it with its candidates."""
    denoising = denoising_of(rows, target)
    queries = {row["query_id"]: f"{WILD[number % len(WILD)]} {row['query_id']}" for number, row in enumerate(rows)}
    passages = {row["passage_id"]: WILD[number % len(WILD)] for number, row in enumerate(rows)}
    stored = judged(rows, denoising)
    weakest = min((row for row in stored if row["verdict"] == "positive"), key=lambda row: row["judge_score"] or 0)
    weakest["reason"] = "held_out"
    config = MineConfig(output="out", negatives=NEGATIVES, **options)
    manifest = {"models": {"cross_encoder": {"model": SCRIPT}}, "seconds": {SCRIPT: 3.0, "encode $x$ 段落": 0.2}}
    run = write_run(folder, queries, passages, stored, NEGATIVES, 3, options=config.model_dump(), **manifest)
    (run / "judge.json").write_text(denoising.to_json(), encoding="utf-8")
    return run, stored


def wild_rows(queries: int = 60) -> Rows:
    return [
        row | {"query_id": f"{SCRIPT}{row['query_id']}", "passage_id": f'{row["passage_id"]}"><img>中'}
        for row in random_rows(queries)
    ]


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows]:
    return write(tmp_path_factory.mktemp("page") / f"run {IMAGE[:6]}", wild_rows(), Target("combined", 0.1))


@pytest.fixture(scope="module")
def found(wild: tuple[Path, Rows]) -> Report:
    return report(str(wild[0]), FEW)


@pytest.fixture(scope="module")
def page(found: Report) -> str:
    return Path(write_report(found)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seen(wild: tuple[Path, Rows]) -> Highlights:
    return highlights(FinishedRun.open(str(wild[0])), SOURCES)


def test_texts_of_a_run_are_no_markup(page: str) -> None:
    parsed = Page(page)
    assert {tag for tag, _ in parsed.elements} <= set(ALLOWED.split())
    assert not [name for _, given in parsed.elements for name in given if name.startswith("on")]
    shown = "".join(parsed.texts)
    for text in (SCRIPT, IMAGE.replace("\x1b", " "), CHINESE, "Ελλάδα & עברית", "encode $x$ 段落"):
        assert text in shown
    assert "\x1b" not in page


def test_the_page_loads_nothing(page: str) -> None:
    parsed = Page(page)
    values = [(name, value or "") for _, given in parsed.elements for name, value in given.items()]
    assert not [value for name, value in values if name in ("src", "srcset", "data", "action")]
    assert all(value.startswith("#") for name, value in values if name == "href")
    assert not [value for _, value in values if "//" in value]
    style = "".join(text for text in parsed.texts if "font-family" in text) + " ".join(value for _, value in values)
    assert set(re.findall(r"url\((.)", style)) <= {"#"}
    assert "@import" not in style
    policy = [given["content"] for tag, given in parsed.elements if given.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_ids_in_the_page_are_of_one_element_each(page: str) -> None:
    ids = [given["id"] for _, given in Page(page).elements if "id" in given]
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)
    parsed = Page(page)
    values = " ".join(value or "" for _, given in parsed.elements for value in given.values())
    assert set(re.findall(r"url\(#([^)]+)\)", values)) <= set(ids)


def test_chinese_is_chinese(page: str, wild: tuple[Path, Rows]) -> None:
    assert CHINESE.encode() in (wild[0] / "report.html").read_bytes()
    assert f'<p dir="auto" lang="zh">{CHINESE}' in page
    assert [language_of(text) for text in ("河", "かわ河", "강", "river", "")] == ["zh", "ja", "ko", "", ""]


def test_long_texts_are_cut() -> None:
    assert shortened("x" * 600) == "x" * 600
    assert shortened("x" * 601) == "x" * 600 + "…"
    assert shortened("河" * 301) == "河" * 300 + "…"


def test_histograms_have_every_score_of_candidates(page: str, wild: tuple[Path, Rows]) -> None:
    tables = Page(page).tables
    groups = [_group(row) for row in wild[1]]
    assert set(tables) == {"judge_score", "logit"}
    for name, (_, *bars, unscored) in tables.items():
        scores = [row[name] for row in wild[1]]
        for place, group in enumerate(GROUPS, start=1):
            own = [score for score, each in zip(scores, groups, strict=True) if each == group]
            assert sum(int(row[place].replace(",", "")) for row in bars) == sum(score is not None for score in own)
            assert int(unscored[place]) == sum(score is None for score in own)


def _group(row: dict[str, Any]) -> str:
    if row["selected"] is not None:
        return "mined"
    return {"positive": "positive", "negative": "passed", "suspected_positive": "suspected_positive"}.get(
        row["verdict"], "other"
    )


def test_the_suspicious_pairs_are_the_extreme_ones(page: str, wild: tuple[Path, Rows]) -> None:
    rows = [row for row in wild[1] if row["judge_score"] is not None]
    positives = [row for row in rows if row["verdict"] == "positive" and row["reason"] != "held_out"]
    negatives = [row for row in rows if row["selected"] is not None]
    ids = Page(page).ids
    for section, own, sign in (("suspicious-positives", positives, 1), ("suspicious-negatives", negatives, -1)):
        own.sort(key=lambda row: (sign * row["judge_score"], row["query_id"], row["passage_id"]))
        pairs = [name for row in own[:20] for name in (row["query_id"], row["passage_id"])]
        assert ids[section] == pairs
        assert len(own) > 20


def test_equal_scores_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = [row | {"logit": float(row["verdict"] == "positive")} for row in random_rows(40)]
    run, stored = write(tmp_path / "run", rows, Target("cross-encoder"), max_sigmoid=0.9)
    tied = [row for row in stored if row["verdict"] == "positive" and row["reason"] is None]
    expected = sorted((row["query_id"], row["passage_id"]) for row in tied)[:20]
    shown = highlights(FinishedRun.open(str(run)), SOURCES).positives
    assert [(row["query_id"], row["passage_id"]) for row in shown] == expected


def test_the_triplets_are_drawn_by_digest(page: str, wild: tuple[Path, Rows]) -> None:
    positives: dict[str, list[str]] = {}
    for row in wild[1]:
        if row["verdict"] == "positive" and row["reason"] is None:
            positives.setdefault(row["query_id"], []).append(row["passage_id"])
    mined = [row for row in wild[1] if row["selected"] is not None and row["query_id"] in positives]
    mined.sort(key=lambda row: cut_digest(f"{row['query_id']}\0{row['passage_id']}"))
    expected = []
    for row in mined[:10]:
        expected += [row["query_id"], min(positives[row["query_id"]]), row["passage_id"]]
    assert Page(page).ids["triplets"] == expected


def test_overlap_and_verdicts_agree_with_brute_force(seen: Highlights, wild: tuple[Path, Rows]) -> None:
    expected: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for row in wild[1]:
        found_by = tuple(name for name in ("bm25", "dense") if row[f"rank_{name}"] is not None)
        groups = {"all": True, "mined": row["selected"] is not None, "positive": row["verdict"] == "positive"}
        expected.update((group, found_by) for group, member in groups.items() if member)
    assert seen.overlap == expected
    assert seen.kinds == Counter((row["verdict"], row["reason"]) for row in wild[1])
    assert seen.difficulty.sum() == 0  # these candidates have none; those of a mined run do, see below


def test_the_funnel_loses_nothing_unnamed(seen: Highlights, found: Report) -> None:
    steps = funnel(seen.kinds, found.mined.mined)
    assert steps[0].left == sum(found.groups.values())
    assert steps[-1].left == found.mined.mined
    for before, after in pairwise(steps):
        assert before.left - after.left == sum(pairs for _, pairs in after.gone)
    every = {(str(verdict), reason): 1 for verdict in Verdict for reason in (None, *meanings())}
    gone = Counter(kind for step in funnel(every, 0) for kind, _ in step.gone)
    assert gone == Counter({kind: 1 for kind in every if kind[0] != "negative"} | {("negative", None): 1})


def test_the_same_run_gives_the_same_bytes(found: Report, page: str) -> None:
    assert Path(write_report(found)).read_text(encoding="utf-8") == page


def test_a_run_without_a_cross_encoder(tmp_path: Path) -> None:
    rows = [row | {"logit": None, "judge_score": None} for row in random_rows(40)]
    run, _ = write(tmp_path / "run", rows, Target("bi-encoder"), judge="bi-encoder", relative_margin=0.05)
    text = Path(write_report(report(str(run), FEW))).read_text(encoding="utf-8")
    assert "No pair has a logit." in text
    assert '<span class="badge nothing">nothing promised</span>' in text
    assert "so nothing is known of the false-negative rate" in text
    assert "No known positive has a judge score." in text


def test_a_run_with_nothing_mined(tmp_path: Path) -> None:
    rows = [row | {"logit": 9.0} for row in random_rows(40)]
    run, stored = write(tmp_path / "run", rows, Target("cross-encoder"), max_sigmoid=0.1)
    assert not any(row["selected"] for row in stored)
    text = Path(write_report(report(str(run), FEW))).read_text(encoding="utf-8")
    assert "0 negatives mined for 40 queries" in text
    assert "There is no triplet." in text
    assert "No mined negative has a judge score." in text


def test_every_verdict_and_reason_has_its_sentence() -> None:
    assert set(VERDICTS) == set(Verdict)
    assert verdict_table() in (ROOT / "README.md").read_text(encoding="utf-8")
    assert meaning("dropped", "outside_ranks") == "its fused rank is outside --ranks"
    assert "so it is in no triplet" in meaning("positive", "held_out")
    assert meaning("suspected_positive", "same_group").endswith("--group COLUMN:suspect")
    assert "worth a look" in meaning("suspected_positive", "above_threshold")
    assert meaning("negative", "of_tomorrow") == "of a filter that is not known here, or of another version of hardneg"
    assert meaning("odd", None) == "of another version of hardneg"


def test_a_run_has_its_page_and_a_failing_page_leaves_the_run(
    animals: Path, mine: Mine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    done = mine(page=True, input=str(animals), **FEW_QUERIES)
    written = (done.folder / "report.html").read_text(encoding="utf-8")
    assert f"{done.manifest['counts']['mined']:,} negatives mined for 5 queries" in written
    difficulty = [row["difficulty"] for row in done.rows("candidates") if row["selected"] is not None]
    bars = Counter(min(int(value * 20), 19) for value in difficulty)
    assert highlights(FinishedRun.open(str(done.folder)), SOURCES).difficulty.tolist() == [
        bars[place] for place in range(20)
    ]
    assert difficulty
    assert command(["report", str(done.folder)]) == 0
    assert f"All of it as a page: {done.folder / 'report.html'}" in capsys.readouterr().out
    assert (done.folder / "report.html").read_text(encoding="utf-8") == written

    def full(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(publish, "write_report", full)
    with pytest.raises(HardnegError, match=r"is finished, but its report\.html was not written: no room; `hardneg rep"):
        mine("other", page=True, input=str(animals), **FEW_QUERIES)
    assert (done.folder.with_name("other") / "manifest.json").exists()
    assert not (done.folder.with_name("other") / "report.html").exists()


def test_a_page_that_cannot_be_written_is_a_note(
    wild: tuple[Path, Rows], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(wild[0], run, ignore=shutil.ignore_patterns("report.html"))
    (run / "report.html" / "in the way").mkdir(parents=True)
    assert command(["report", str(run), "--targets", "0.1", "--leak-rates", "0.1", "--sigmoids", "0.3"]) == 0
    said = capsys.readouterr()
    assert "negatives of 60 queries mined" in said.out
    assert f"No page was written: {run / 'report.html'} can't be written" in said.err


def test_an_export_does_not_take_the_page_s_place(wild: tuple[Path, Rows]) -> None:
    options = ExportOptions(format="triplet", output=str(wild[0] / "report.html"), overwrite=True)
    with pytest.raises(HardnegError, match="would replace a part of the run"):
        export(str(wild[0]), options)


@pytest.mark.slow
def test_no_window_scrolls_sideways(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not here")
    # In a frame as wide as the window: a browser without a screen makes none that is narrower than 500.
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:800px" srcdoc="{html.escape(page)}"></iframe>'
        for width in (360, 1200)
    )
    measure = """<script>onload = () => { document.body.append("", ...[...document.querySelectorAll("iframe")].map(
        each => `[${each.contentDocument.documentElement.scrollWidth} ${each.contentDocument.querySelectorAll(
        "section").length}]`)) }</script>"""
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{frames}{measure}', encoding="utf-8")
    given = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run([*given, "--dump-dom", wrapper.as_uri()], capture_output=True, text=True, timeout=300)
    measured = re.findall(r"\[(\d+) (\d+)\]", done.stdout[done.stdout.rfind("</script>") :])
    assert [int(width) for width, _ in measured] == [360, 1200]
    assert {int(sections) for _, sections in measured} == {page.count("<section ")}


@pytest.mark.slow
def test_workers_do_not_load_what_draws() -> None:
    code = "import sys, hardneg.pipelines.commands.driver; print({'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "set()"
