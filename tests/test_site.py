"""The site, built from a copy of the notebooks and opened from a folder in a browser that may ask nobody."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from browser import chromium
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page, Request

from nas_core import papers
from nas_core.driver.ledger import ledger

REPO = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (REPO / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
ALT = "A picture that is described in words"
PART = "WI-F12-b"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished site of notebooks with a described picture and an explorer, and of figures with one more part."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(REPO / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("api", ".ipynb*"))
    shutil.copytree(REPO / "figures", folder / "figures")
    for suffix in (".png", ".csv", ".json"):
        place = folder / "figures" / "wiring"
        shutil.copy(place / f"WI-F12{suffix}", place / f"{PART}{suffix}")
    start = folder / "notebooks" / "00_start_here.ipynb"
    notebook = nbformat.read(start, as_version=4)
    change(notebook)
    nbformat.write(notebook, start)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", "notebooks/site"]
    done = subprocess.run(
        [*command, "-d", "doctrees", "notebooks", "site"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def change(notebook: NotebookNode) -> None:
    """Describe the first picture in words, and make it that of an explorer, whose widget no browser can show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    picture = next(output for output in outputs if "image/png" in output.get("data", {}))
    picture.metadata["image/png"] = {"alt": ALT}
    picture.data[WIDGET] = {"model_id": "0", "version_major": 2, "version_minor": 0}
    state = {"version_major": 2, "version_minor": 0, "state": {"0": {"model_name": "IntSliderModel", "state": {}}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with the network cut off; afterwards nothing may have been asked for, and no script may have failed."""
    context = browser.new_context(color_scheme="light")
    faults: list[str] = []

    def note(request: Request) -> None:
        if urlsplit(request.url).scheme not in ("file", "data", "blob"):
            faults.append(f"asks for {request.url}")

    context.on("request", note)
    context.set_offline(True)
    tab = context.new_page()
    tab.on("pageerror", lambda error: faults.append(str(error)))
    yield tab
    context.close()
    assert not faults


def address(site: Path, name: str) -> str:
    return (site / f"{name}.html").as_uri()


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf8"), "html.parser")


def test_every_local_link_leads_somewhere(site: Path) -> None:
    pages = {path.resolve(): soup(path) for path in site.rglob("*.html") if "_modules" not in path.parts}
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    lost = []
    for path, page in pages.items():
        for tag in page.find_all(["a", "img", "script", "link"]):
            link = urlsplit(tag.get("href") or tag.get("src") or "")
            if link.scheme or link.netloc:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            known = anchors.get(target)
            if not target.exists() or (known is not None and link.fragment and link.fragment not in known):
                lost.append(f"{path.relative_to(site.resolve())}: {link.geturl()}")
    assert not lost


def test_the_first_page_leads_to_all_others(site: Path, page: Page) -> None:
    page.goto(address(site, "index"))
    links = {link.get_attribute("href") for link in page.locator("article a").all()}
    wanted = [*NOTEBOOKS, "site/gallery", "site/ledger", "site/api"]
    assert {f"{name}.html" for name in wanted} <= links


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_its_pictures_and_formulas(site: Path, page: Page, name: str) -> None:
    page.goto(address(site, name))
    page.wait_for_function("window.MathJax === undefined || window.MathJax.startup?.promise")
    page.evaluate("window.MathJax?.startup.promise")
    widths = page.locator("article img").evaluate_all("images => images.map(image => image.naturalWidth)")
    outputs = [
        output
        for cell in nbformat.read(REPO / "notebooks" / f"{name}.ipynb", as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(widths) >= len(pictures)
    assert all(width > 0 for width in widths)
    formulas = page.locator("article .math")
    drawn = page.locator("article .math mjx-container svg")
    assert drawn.count() >= formulas.count()
    assert page.locator("mjx-container [data-mml-node=merror]").count() == 0
    prose = " ".join(page.locator("article p, article li").all_inner_texts())
    assert not re.findall(r"\\[a-z]+|\$", prose)


def test_some_notebooks_have_formulas(site: Path) -> None:
    assert sum(len(soup(site / f"{name}.html").select("article .math")) for name in NOTEBOOKS) > 100


def test_a_picture_is_described_and_stands_for_its_explorer(site: Path, page: Page) -> None:
    page.goto(address(site, "00_start_here"))
    picture = page.get_by_role("img", name=ALT)
    assert picture.count() == 1
    assert picture.evaluate("image => image.naturalWidth") > 0


def test_the_gallery_has_every_item(site: Path, page: Page) -> None:
    page.goto(address(site, "site/gallery"))
    for row in papers.artefacts().itertuples():
        place = page.locator(f"#{row.Index.lower()}")
        assert place.count() == 1, row.Index
        if not (REPO / "figures" / row.paper / f"{row.Index}.png").exists():
            assert row.shows in page.locator("article").inner_text()
            continue
        card = page.locator(".sd-card").filter(has=place)
        assert card.locator("img").first.get_attribute("alt")
        links = [str(link.get_attribute("href")).rpartition("/")[2] for link in card.locator("a").all()]
        assert {f"{row.Index}.csv", f"{row.Index}.json", f"{row.notebook}.html"} <= set(links)
    loaded = page.locator(".gallery img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")
    assert loaded


def test_a_part_stands_with_its_item(site: Path) -> None:
    (card,) = [card for card in soup(site / "site/gallery.html").select(".sd-card") if card.find(id="wi-f12")]
    parts = {path.stem for path in (REPO / "figures/wiring").glob("WI-F12-?.json")}
    assert len(card.find_all("img")) == 1 + len(parts | {PART})
    assert f"{PART}.csv" in card.get_text()


def test_the_gallery_says_what_the_ledger_says(site: Path) -> None:
    claims = ledger(REPO / "figures")
    fails = claims[claims["verdict"] == "fails"]["artefact"].value_counts()
    assert len(fails) > 0
    cards = soup(site / "site/gallery.html").select(".sd-card")
    for artefact, count in fails.items():
        (card,) = [card for card in cards if card.find(id=artefact.lower())]
        told = [badge.get_text() for badge in card.select(".sd-bg-danger")]
        assert told == [f"{count} fail{'s' if count == 1 else ''}"]


def test_the_ledger_filters(site: Path, page: Page) -> None:
    claims = ledger(REPO / "figures")
    page.goto(address(site, "site/ledger"))
    rows = page.locator(".ledger tbody tr")
    shown = page.locator(".ledger tbody tr:visible")
    said = page.locator(".ledger-filter output")
    assert rows.count() == shown.count() == len(claims)
    page.select_option("select[name=verdict]", "fails")
    assert shown.count() == (claims["verdict"] == "fails").sum()
    page.fill("input[name=words]", "WI-F12")
    assert shown.count() == ((claims["verdict"] == "fails") & (claims["artefact"] == "WI-F12")).sum()
    page.select_option("select[name=verdict]", "")
    page.fill("input[name=words]", "")
    page.select_option("select[name=paper]", "mixpath")
    page.select_option("select[name=grade]", "exact")
    wanted = ((claims["paper"] == "mixpath") & (claims["grade"] == "X")).sum()
    assert shown.count() == wanted
    assert said.inner_text() == f"{wanted} of {len(claims)} claims"
    page.fill("input[name=words]", "no claim has these words")
    assert shown.count() == 0


def test_a_page_turns_dark(site: Path, page: Page) -> None:
    page.goto(address(site, "index"))
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    button = page.locator(".theme-toggle:visible").first
    for _ in range(3):  # light, dark, as the system
        button.click()
        if page.locator("body").get_attribute("data-theme") == "dark":
            break
    assert before == "rgb(255, 255, 255)"
    assert max(map(int, re.findall(r"\d+", page.evaluate(colour))[:3])) < 60


def test_search_finds_words_and_names(site: Path, page: Page) -> None:
    page.goto(address(site, "index"))
    for words, found in (("entropy", "05_snas_search.html"), ("minimal_cell", "nas_core.cells")):
        page.locator("input[name=q]:visible").first.fill(words)
        page.keyboard.press("Enter")
        result = page.locator(f"ul.search li a[href*='{found}']").first
        result.wait_for(timeout=20_000)
        result.click()
        assert found in page.url


def test_the_package_is_documented(site: Path) -> None:
    described = soup(site / "site/api/nas_core.cells.topology.html")
    assert described.find(id="nas_core.cells.topology.minimal_cell")
