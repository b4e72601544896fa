"""The page as a real Chromium shows it: whole, dark and light, on a phone, and deaf to what hostile answers ask for.

Needs `chromium` or `google-chrome` on the path (Debian: apt-get install chromium). The browser may talk to a server of
the test on 127.0.0.1 and to nothing else; a control shows that the server would hear it.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from strop.evaluation.page import page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"
PHONE, DESK = 400, 1200

# Shows a page in a frame of a given width, and writes down what it measures there: a window cannot be that narrow.
MEASURE = """<!doctype html><title>wait</title><body style="margin:0">
<iframe src="{name}" style="border:0;width:{width}px;height:2000px"></iframe>
<script>
onload = () => {{
  const shown = document.querySelector("iframe").contentDocument;
  const boxes = (name) => [...shown.querySelectorAll(name)].map((one) => one.getBoundingClientRect());
  document.title = JSON.stringify({{
    title: shown.title,
    width: shown.documentElement.scrollWidth,
    right: Math.max(...boxes("body *").map((box) => box.right)),
    sides: boxes("article:first-of-type .sides > *").map((box) => box.top),
    plots: boxes("svg").map((box) => box.width),
    ground: getComputedStyle(shown.body).backgroundColor,
  }});
}};
</script>"""


@dataclass
class Browser:
    """A headless Chromium with a profile of its own, which may talk to 127.0.0.1 alone."""

    program: str
    folder: Path

    def run(self, address: str, *options: str) -> str:
        """What it prints; all its processes are gone when this returns."""
        command = [
            self.program,
            *("--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server", "--mute-audio"),
            f"--user-data-dir={self.folder / 'profile'}",
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            *options,
            address,
        ]
        env = {**os.environ, "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True
        )
        try:
            out, err = child.communicate(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        assert child.returncode == 0, err.decode(errors="replace")
        return out.decode()

    def dom(self, address: str, *options: str) -> str:
        return self.run(address, *options, "--dump-dom")

    def corner(self, address: str, *options: str) -> tuple[int, ...]:
        """The colour of the topmost, leftmost pixel of a screenshot."""
        file = self.folder / "shot.png"
        self.run(address, *options, f"--screenshot={file}", f"--window-size={DESK},900")
        return _corner(file.read_bytes())


def _corner(png: bytes) -> tuple[int, ...]:
    """No filter changes the first pixel of the first row: it has no neighbour to be told from."""
    at, packed = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += 12 + length
    assert png[24] == 8, "eight bits a channel"
    return tuple(zlib.decompress(packed)[1:4])


@dataclass
class Site:
    """A folder, served on 127.0.0.1, and the paths that were asked for."""

    folder: Path
    address: str
    asked: list[str]

    def put(self, name: str, text: str) -> str:
        """Serve this text; returns its address."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return f"{self.address}/{name}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser to look at the page with: none of {', '.join(BROWSERS)} is on the path")
    return Browser(found, tmp_path_factory.mktemp("browser"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *args: Any) -> None:
            asked.append(self.path)

        def log_message(self, *args: Any) -> None:
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Site(folder, f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    thread.join()
    server.server_close()


def measured(browser: Browser, site: Site, name: str, width: int, *options: str) -> dict[str, Any]:
    address = site.put(f"measure-{name}", MEASURE.format(name=name, width=width))
    for _ in range(3):
        (title,) = re.findall("<title>(.*?)</title>", browser.dom(address, *options))
        if title.startswith("{"):  # else it was read before the frame had been measured
            break
    found: dict[str, Any] = json.loads(title)
    return found


def test_all_parts_are_shown_from_the_file_alone(browser: Browser, tmp_path: Path, scripted: Any) -> None:
    report = scripted.report()
    file = tmp_path / "page.html"
    file.write_text(page(report), encoding="utf-8")
    dom = browser.dom(file.as_uri())
    assert f"<h1>{report.headline}</h1>" in dom
    assert dom.count("<h2") == 5
    assert dom.count("<article") == 8
    assert dom.count("<svg") == len(report.verdict.estimates)
    light, dark = (browser.corner(file.as_uri(), theme) for theme in (LIGHT, DARK))
    assert (light, dark) == ((0xFA, 0xF9, 0xF6), (0x16, 0x15, 0x13))


def test_hostile_answers_run_and_load_nothing(browser: Browser, site: Site, scripted: Any) -> None:
    hostile = scripted.HOSTILE.format(server=site.address)
    report = scripted.report(hostile)
    dom = browser.dom(site.put("page.html", page(report)))
    assert f"<title>Strop: {report.headline}</title>" in dom
    assert dom.count("<article") == 8
    assert not re.search("<(script|img|link|iframe|object)", dom)
    assert "&lt;script&gt;" in dom
    assert "\u202e" not in dom
    assert site.asked == ["/page.html", "/favicon.ico"] or site.asked == ["/page.html"]


@pytest.mark.parametrize("guarded", [True, False])
def test_the_policy_would_hold_even_if_the_escaping_did_not(
    guarded: bool, browser: Browser, site: Site, scripted: Any
) -> None:
    """The control: the same markup, set free, runs and loads where the page has no Content-Security-Policy."""
    hostile = scripted.HOSTILE.format(server=site.address)
    free = page(scripted.report()).replace("</main>", f"{hostile}</main>")
    if not guarded:
        free = re.sub("<meta http-equiv[^>]*>", "", free)
    dom = browser.dom(site.put("page.html", free))
    assert ("<title>owned</title>" in dom) is not guarded
    assert any("hostile" in path for path in site.asked) is not guarded


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, site: Site, scripted: Any) -> None:
    site.put("page.html", page(scripted.report(scripted.HOSTILE.format(server=site.address) + "y" * 10_000)))
    found = measured(browser, site, "page.html", PHONE)
    assert (found["width"], found["right"] <= PHONE) == (PHONE, True)
    assert found["title"].startswith("Strop: ")
    assert len(set(found["sides"])) == 3, "one below the other"
    assert min(found["plots"]) > 150
    site.put("wide.html", '<!doctype html><p style="width:500px">wide')
    assert measured(browser, site, "wide.html", PHONE)["width"] > PHONE


@pytest.mark.parametrize(("theme", "ground"), [(LIGHT, "rgb(250, 249, 246)"), (DARK, "rgb(22, 21, 19)")])
def test_a_wide_screen_shows_before_and_after_side_by_side(
    theme: str, ground: str, browser: Browser, site: Site, scripted: Any
) -> None:
    site.put("page.html", page(scripted.report()))
    found = measured(browser, site, "page.html", DESK, theme)
    assert found["width"] == DESK
    assert len(found["sides"]) == 3
    assert len(set(found["sides"])) == 1, "side by side"
    assert found["ground"] == ground
