"""The console as people see it, in Debian's Chromium: one server and one browser for all of these tests."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest

from app.console.users import create_user
from tests.app.console.conftest import ROWS
from tests.app.traffic import Payments, Server, bodies
from tests.private_servers import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parent / "axe" / "axe.min.js"
_EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}"
_PAINTED = """new Promise((done) => new PerformanceObserver((list) => {
  const painted = list.getEntriesByName("first-contentful-paint")[0];
  if (painted) done(painted.startTime);
}).observe({type: "paint", buffered: true}))"""
#: Chromium's word for a page that is an error, as it should be there.
_FAILED = "Failed to load resource: the server responded with a status of"


@dataclass
class Site:
    """The running console.

    Attributes:
        url: of its queue; ``passwords``: of the managers ana and eve.
        said: what the browser's console has shown, and what went elsewhere.
        state: the session of ana.
    """

    browser: Browser
    origin: str
    passwords: dict[str, str]
    payments: Payments
    said: list[str] = field(default_factory=list)
    state: Any = None

    @property
    def url(self) -> str:
        return f"{self.origin}/console"

    def open(self, **context: Any) -> Page:
        """A page of a window of its own; signed in, unless told otherwise."""
        given = {"viewport": {"width": 1366, "height": 768}, "storage_state": self.state, **context}
        window = self.browser.new_context(**given)
        self._listen(window)
        page = window.new_page()
        page.set_default_timeout(20_000)
        return page

    def _listen(self, window: BrowserContext) -> None:
        def told(message: ConsoleMessage) -> None:
            if not message.text.startswith(_FAILED):
                self.said.append(f"{message.type}: {message.text}")

        def asked(request: Any) -> None:
            if not request.url.startswith(self.origin):
                self.said.append(f"went to {request.url}")

        window.on("console", told)
        window.on("weberror", lambda error: self.said.append(str(error.error)))
        window.on("dialog", lambda dialog: self.said.append(f"dialog {dialog.message}"))
        window.on("request", asked)

    def score(self, *transactions: dict[str, Any]) -> list[dict[str, Any]]:
        """Send payments."""
        reply = httpx.post(f"{self.origin}/v1/score/batch", json={"transactions": list(transactions)}, timeout=60)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["results"])


@pytest.fixture(scope="module")
def site(payments: Payments, recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Ends with the module: while Playwright runs, its thread can have no other event loop."""
    if CHROMIUM is None:
        missing("chromium")
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("site")
    shutil.copy(recorded / "log.db", folder / "log.db")
    shutil.copytree(payments.artifacts, folder / "artifacts")
    passwords = {name: create_user(folder / "users.json", name, "manager") for name in ("ana", "eve")}
    users = {"COUNTERFOIL_USERS_FILE": str(folder / "users.json"), "COUNTERFOIL_KEYS_FILE": str(folder / "keys.json")}
    server = Server(folder / "artifacts", folder / "log.db", **users)
    server.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = Site(browser, f"http://127.0.0.1:{server.port}", passwords, payments)
        more = [json.loads(body) for body in bodies(payments.frame.slice(ROWS, 2 * ROWS), payments.schema)]
        found.score(*more)
        page = _sign_in(found, "ana")
        found.state = page.context.storage_state()
        page.context.close()
        yield found
        browser.close()
    server.end(signal.SIGTERM)


def _sign_in(site: Site, name: str) -> Page:
    """By the form, without scripts."""
    page = site.open(storage_state=None, java_script_enabled=False)
    page.goto(site.url)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(site.passwords[name])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(site.url)
    return page


@pytest.fixture(autouse=True)
def _silent(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a message in the browser's console, or a request to elsewhere."""
    site: Site = request.getfixturevalue("site")
    yield
    for window in site.browser.contexts:
        window.close()
    said, site.said[:] = list(site.said), []
    assert said == []


def _to_alert(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.keyboard.press("n")
    page.wait_for_url("**/alerts/*")


def _help(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.keyboard.press("?")
    page.get_by_role("button", name="Close").wait_for()


def _at(path: str) -> Callable[[Page, Site], None]:
    def go(page: Page, site: Site) -> None:
        page.goto(site.url + path)

    return go


def _decided(page: Page, site: Site) -> None:
    _to_alert(page, site)
    page.get_by_role("textbox", name="Note").fill("rang the holder up")
    page.get_by_role("button", name="Fraud").click()
    page.get_by_role("link", name="the alert before").click()
    page.get_by_text("by ana").first.wait_for()


def _card(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.locator("[data-open]").first.click()
    page.locator("#days a").click()
    page.get_by_role("heading", level=1).wait_for()


def _proposed(path: str) -> Callable[[Page, Site], None]:
    def go(page: Page, site: Site) -> None:
        page.goto(site.url + path)
        page.locator("textarea[name=note]").fill("to see how it looks")
        page.get_by_role("button", name="Propose").click()
        page.get_by_role("button", name="Withdraw").first.wait_for()

    return go


def _tried(page: Page, site: Site) -> None:
    _proposed("/rules")(page, site)
    page.get_by_role("button", name="Try them").click()
    page.get_by_text("these rules and the lists").wait_for()


def _signed_out(page: Page, site: Site) -> None:
    page.context.clear_cookies()
    page.goto(f"{site.url}/sign-in")


def _not_let_in(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sign-in")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()


#: Every screen and state that is there, and how to get to it.
SCREENS: dict[str, Callable[[Page, Site], None]] = {
    "queue": _at(""),
    "filtered": _at("?holder=mine&late=1"),
    "held alert": _to_alert,
    "help": _help,
    "account": _at("/account"),
    "search": _at("/search?least=0"),
    "nothing found": _at("/search?q=nothing"),
    "no amount": _at("/search?least=x"),
    "decided, with an undo": _decided,
    "payment": _at("/payments/1"),
    "similar": _at("/payments/1/similar"),
    "card": _card,
    "unknown card": _at("/of?" + urlencode({"card_id": "nobody's"})),
    "lists": _proposed("/lists?list=block&column=card_id&values=x"),
    "rules": _tried,
    "models": _at("/models"),
    "what if": _proposed("/what-if?a_day=3"),
    "erase": _proposed("/purges?column=card_id&value=x"),
    "overview": _at("/overview"),
    "audit": _at("/audit"),
    "users": _at("/users"),
    "not found": _at("/nowhere"),
}


def _barriers(page: Page, rules: str = "") -> Any:
    """What axe-core finds, by all of its rules or by some."""
    told = "found.violations.map((one) => [one.id, one.nodes[0].html])"
    return page.evaluate(f"axe.run({{resultTypes: ['violations'], {rules}}}).then((found) => {told})")


def test_no_screen_has_a_barrier_light_or_dark_or_is_wider_than_a_narrow_window(site: Site) -> None:
    """Each screen is opened once. What a dark page may do wrong is its colours."""
    source = AXE.read_text(encoding="utf-8")
    page = site.open(reduced_motion="reduce")
    screens = {**SCREENS, "sign in": _signed_out, "not let in": _not_let_in}
    for name, go in screens.items():
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1366, "height": 768})
        go(page, site)
        page.evaluate(source)
        assert _barriers(page) == [], name
        page.emulate_media(color_scheme="dark")
        assert _barriers(page, 'runOnly: ["color-contrast"]') == [], f"{name}, dark"
        for width in (390, 683):  # a phone; a desktop at 200 %
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name}, {width} wide"


def test_the_first_screen_is_light_and_says_how_soon_it_comes(site: Site) -> None:
    page = site.open()
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", 0))))
    paints = []
    for _ in range(4):
        page.goto(site.url)
        paints.append(page.evaluate(_PAINTED))
    assert sum(sizes[:5]) <= 60 << 10  # the page, its style, two scripts, the icon
    print(f"first paint p75 {statistics.quantiles(paints, n=4)[2]:.0f} ms, {sum(sizes[:5]) / 1024:.1f} KiB")


def test_an_alert_fits_on_one_screen_with_its_verdict(site: Site) -> None:
    page = site.open()
    _to_alert(page, site)
    for name in ("Fraud", "Legitimate", "Disputed", "Snooze", "Escalate"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 768
    reasons = page.get_by_role("region", name="Table of payments").bounding_box()
    assert reasons is not None
    assert reasons["y"] + reasons["height"] <= 768


def _moved_on(before: str, url: str) -> bool:
    return url != before and "done=" in url


def test_twenty_alerts_by_keyboard_alone_one_key_each_and_an_undo(site: Site) -> None:
    page = site.open()
    _to_alert(page, site)
    seen: list[str] = []
    seconds: list[float] = []
    for place in range(20):
        before = page.url
        seen.append(before.partition("?")[0])
        began = time.perf_counter()
        page.keyboard.press("fl"[place % 2])
        page.wait_for_url(partial(_moved_on, before), wait_until="domcontentloaded")
        seconds.append(time.perf_counter() - began)
    assert len(set(seen)) == 20
    print(f"verdict to next page p95 {1e3 * statistics.quantiles(seconds, n=20)[18]:.0f} ms")
    page.keyboard.press("u")
    page.wait_for_url("**said=undone")
    assert page.url.partition("?")[0] == seen[-1]
    assert page.get_by_text("held by you").is_visible()
    page.keyboard.press("i")
    page.get_by_role("region", name="Table of similar payments").get_by_role("row").nth(1).wait_for()
    assert page.url.partition("?")[0] == seen[-1]
    page.keyboard.press("c")
    page.keyboard.type("f is a letter here")
    assert page.get_by_role("textbox", name="Note").input_value() == "f is a letter here"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Give back").click()


def test_rows_are_walked_ticked_and_opened_by_keys_that_can_be_switched_off(site: Site) -> None:
    page = site.open()
    page.goto(site.url)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    ticked = page.locator("tbody input[type=checkbox]")
    assert [ticked.nth(place).is_checked() for place in range(3)] == [False, True, False]
    page.keyboard.press("?")
    page.get_by_label("Keys are on").uncheck()
    page.get_by_role("button", name="Close").click()
    assert page.locator("kbd:visible").count() == 0
    page.keyboard.press("n")
    assert page.url == site.url
    page.evaluate("localStorage.clear()")
    page.reload()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/*")
    page.get_by_role("button", name="Give back").click()


def test_new_alerts_are_counted_and_the_table_stays(site: Site) -> None:
    page = site.open()
    page.goto(site.url)
    rows = page.locator("tbody tr").all_inner_texts()
    example = httpx.get(f"{site.origin}/v1/decisions?limit=1").json()["decisions"][0]["transaction"]
    site.score({**example, "transaction_id": "brand-new", "card_id": "card-brand-new", "amount": 99_999.0})
    page.evaluate("htmx.ajax('GET', document.querySelector('#news').getAttribute('hx-get'), '#news')")
    page.get_by_text("1 new, refresh").wait_for()
    assert page.locator("tbody tr").all_inner_texts() == rows


def test_what_was_sent_and_written_is_shown_and_never_run(site: Site) -> None:
    example = httpx.get(f"{site.origin}/v1/decisions?limit=1").json()["decisions"][0]["transaction"]
    texts = dict.fromkeys(("card_id", "merchant_id", "category", "channel"), _EVIL[:60])
    (reply,) = site.score({**example, "transaction_id": _EVIL[:60], "amount": 88_888.0, "country": "<b", **texts})
    assert reply["decision"] != "approve"
    page = site.open()
    page.goto(site.url)
    assert page.get_by_text("<img src=x onerror=").first.is_visible()
    row = page.locator("tr", has_text="onerror=").first
    row.locator("[data-open]").click()
    page.get_by_role("textbox", name="Note").fill(_EVIL)
    page.get_by_role("button", name="Only the note").click()
    page.get_by_role("paragraph").filter(has_text="{{7*7}}").wait_for()
    assert page.locator("img[src=x]").count() == 0
    for path in (f"?holder={_EVIL}", f"?min={_EVIL}", f"?after={_EVIL}", f"?said={_EVIL}", f"/alerts/1?done={_EVIL}"):
        page.goto(site.url + path)
    assert page.locator("img[src=x]").count() == 0


def test_everything_works_without_scripts(site: Site) -> None:
    page = site.open(java_script_enabled=False)
    page.goto(site.url)
    page.get_by_label("Held by").select_option("free")
    page.get_by_role("button", name="Filter", exact=True).click()
    assert "holder=free" in page.url
    page.goto(site.url)
    page.get_by_role("button", name="Take next").click()
    first = page.url
    page.get_by_role("textbox", name="Note").fill("by hand")
    page.get_by_role("button", name="Fraud").click()
    assert "done=" in page.url
    page.get_by_role("button", name="Undo").click()
    assert page.url.partition("?")[0] == first
    page.get_by_role("button", name="Legitimate").click()
    page.get_by_role("button", name="Snooze").click()
    assert "done=" in page.url
    page.get_by_role("button", name="Give back").click()
    boxes = page.locator("tbody input[type=checkbox]")
    for place in (0, 1):
        boxes.nth(place).check()
    page.get_by_role("button", name="Disputed").click()
    assert page.get_by_text("Recorded: 2 alerts").is_visible()
    page.goto(f"{site.url}/lists?column=merchant_id&values={_EVIL}")
    page.get_by_label("Why").fill("by hand")
    page.get_by_role("button", name="What it would have hit").click()
    assert page.get_by_text("0 payments had this value").is_visible()
    page.get_by_role("button", name="Propose").click()
    page.get_by_role("button", name="Withdraw").last.click()
    page.goto(f"{site.url}/rules")
    page.get_by_role("button", name="Try them").click()
    assert page.get_by_text("these rules and the lists").is_visible()


def test_a_threshold_and_the_way_back_are_set_by_two_without_scripts(site: Site) -> None:
    ana, eve = site.open(java_script_enabled=False), _sign_in(site, "eve")
    ana.goto(f"{site.url}/what-if")
    ana.get_by_label("Why").fill("fewer alerts")
    ana.get_by_role("button", name="Propose").click()
    assert ana.get_by_text("a second person approves it").is_visible()
    eve.goto(f"{site.url}/what-if")
    eve.get_by_role("button", name="Approve").last.click()
    assert eve.get_by_text("Approved: it").is_visible()
    eve.goto(f"{site.url}/models")
    assert eve.get_by_role("row").filter(has_text="serves").count() == 1
    eve.get_by_label("Why").fill("too few")  # what served before is chosen already
    eve.get_by_role("button", name="Propose").click()
    ana.goto(f"{site.url}/models")
    ana.get_by_role("button", name="Approve").click()
    assert ana.get_by_text("Approved: it serves").is_visible()
    version = site.payments.scorer.manifest.version
    assert ana.get_by_role("row", name=version).get_by_text("serves").is_visible()
