"""A headless Chromium for the tests of what people see in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HERMETIC = ["--disable-background-networking", "--disable-component-update", "--disable-gpu"]


def chromium_path() -> str:
    """The system's Chromium; the test skips where there is none."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser, closed at the end; the test skips where there is no Chromium."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=HERMETIC)
        try:
            yield browser
        finally:
            browser.close()
