"""A headless Chromium, and what a person reads in Label Studio's pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from demo.label_studio import ROOT, LabelStudioServer
from tests.conftest import skip_unless_ci

PATIENCE = 40
IMAGES = ROOT / "docs" / "images"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1680,950",
    "--force-device-scale-factor=1",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        skip_unless_ci(f"{'chromium' if browser is None else 'chromedriver'} is not installed")
    options = Options()
    options.binary_location = str(browser)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    page = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield page
    finally:
        page.quit()


class Person:
    """Somebody at the browser."""

    def __init__(self, page: webdriver.Chrome, server: LabelStudioServer) -> None:
        self.page = page
        self.server = server

    def wait(self, what: Callable[[], Any], saying: str) -> Any:
        """Return the first true value of ``what``; elements that a redraw replaced are looked up again."""
        waiting = WebDriverWait(
            self.page, PATIENCE, 0.2, ignored_exceptions=(StaleElementReferenceException,)
        )
        return waiting.until(lambda _: what(), saying)

    def find(self, css: str) -> list[WebElement]:
        """Return the elements of a CSS selector that can be seen."""
        return [
            element for element in self.page.find_elements(By.CSS_SELECTOR, css) if element.is_displayed()
        ]

    def texts(self, css: str) -> list[str]:
        """Return what those elements say."""
        return [element.text.strip() for element in self.find(css)]

    def click(self, css: str, text: str) -> None:
        """Click the element of a selector that says ``text``."""

        def click() -> bool:
            for element in self.find(css):
                if element.text.strip() == text:
                    element.click()
                    return True
            return False

        self.wait(click, f"{text!r} cannot be clicked")

    def sign_in(self) -> None:
        """Log in as the first user."""
        self.page.get(f"{self.server.url}/user/login/")
        self.page.find_element(By.NAME, "email").send_keys(self.server.admin.email)
        self.page.find_element(By.NAME, "password").send_keys(self.server.admin.password)
        self.page.find_element(By.CSS_SELECTOR, "form [type=submit]").click()
        self.wait(lambda: "/user/login" not in self.page.current_url, "cannot sign in")

    def picture(self, name: str) -> None:
        """Keep a screenshot for the documentation, where LINEUP_SCREENSHOTS is set."""
        if os.environ.get("LINEUP_SCREENSHOTS"):
            IMAGES.mkdir(parents=True, exist_ok=True)
            self.page.save_screenshot(str(IMAGES / f"{name}.png"))
