"""The pages of the dashboard in Chromium: no errors, accessible, and buttons that change data."""

import json
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.serving import LiveServer, start_server, stop_server

from nearline.engine import Recommender
from nearline.server.host import EngineHost
from nearline.server.logs import JsonLog

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install playwright"
)
CHROMIUM = shutil.which("chromium") or os.environ.get("NEARLINE_CHROMIUM")
if CHROMIUM is None:
    pytest.skip(
        "needs Chromium: apt-get install chromium, or set NEARLINE_CHROMIUM to its path",
        allow_module_level=True,
    )

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SIZES = {"wide": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
# Half of the combinations, since each theme and each language is the same on every page. With a
# folder for pictures (`make pages`), all of them.
SHOTS = os.environ.get("NEARLINE_PICTURES")
LOOKS = [("light", "en-US"), ("dark", "zh-CN")]
if SHOTS:
    LOOKS += [("light", "zh-CN"), ("dark", "en-US")]
PAGES = (
    *("overview", "users", "user/u1", "user/nobody", "items", "item/i1", "item/none"),
    *("flow", "rules", "models", "experiments", "experiments/quiet", "report"),
    *("privacy", "privacy/u1", "data", "system"),
)
ITEMS = [
    {"item_id": f"i{n}", "title": f"Tea number {n}", "text": "green tea", "categories": ["tea"]}
    for n in range(12)
]
EVENTS = [
    {"user_id": f"u{user}", "item_id": f"i{(user * 2 + step) % 12}", "timestamp": 1.7e9 + step}
    for user in range(8)
    for step in range(4)
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = start_server(tmp_path_factory.mktemp("dashboard"))
    with httpx.Client(base_url=live.url, timeout=120.0) as http:
        assert http.post("/v1/items", json=ITEMS).status_code == 200
        assert http.post("/v1/events", json=EVENTS).status_code == 200
        # Experiments on these lists only, so that those of other tests are not changed.
        for name in ("unused", "trial"):
            assert http.put(f"/v1/scenarios/{name}", json={"k": 3}).status_code == 200
        quiet = {"variants": {"a": {}, "b": {}}, "scenario": "unused"}
        assert http.put("/v1/experiments/quiet", json=quiet).status_code == 200
    yield live
    assert stop_server(live) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


class View:
    """A tab that collects errors, and requests to other hosts."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url
        self.problems: list[str] = []
        self._context = browser.new_context(**{"locale": "en-US", **options})
        self.page = self._context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._sent)

    def _said(self, message: Any) -> None:
        # The browser itself reports answers with status 404, which pages of unknown IDs expect.
        if message.type in ("error", "warning") and "status of 404" not in message.text:
            self.problems.append(message.text)

    def _sent(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.problems.append(f"request to {request.url}")

    def open(self, page: str) -> Any:
        self.page.goto(f"{self.url}/ui#/{page}")
        self.page.wait_for_selector("h1")
        playwright.expect(self.page.locator(".loading, .skeleton")).to_have_count(0, timeout=60_000)
        return self.page

    def violations(self) -> list[str]:
        """Rules of axe-core that the page breaks."""
        session = self._context.new_cdp_session(self.page)  # not subject to the page's policy
        session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        run = (
            "axe.run(document).then("
            "found => JSON.stringify(found.violations.map(one => [one.id, one.nodes[0].html])))"
        )
        got = session.send(
            "Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True}
        )
        return [": ".join(one) for one in json.loads(got["result"]["value"])]

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def view(browser: Any, server: LiveServer) -> Iterator[View]:
    made = View(browser, server.url)
    yield made
    made.close()
    assert made.problems == []


def user_of(server: LiveServer, user: str) -> Any:
    return httpx.get(f"{server.url}/v1/users/{user}", timeout=120.0).json()


@pytest.mark.parametrize(("theme", "language"), LOOKS)
@pytest.mark.parametrize("size", SIZES)
def test_pages_are_without_errors_and_fit(
    browser: Any, server: LiveServer, theme: str, language: str, size: str
) -> None:
    view = View(browser, server.url, color_scheme=theme, viewport=SIZES[size], locale=language)
    for page in PAGES:
        shown = view.open(page)
        assert shown.evaluate("document.documentElement.lang") == language[:2]
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
        assert shown.locator("[role=alert]").count() == 0, (page, shown.inner_text("main"))
        if AXE.exists():
            assert view.violations() == [], page
        if SHOTS:
            name = f"{page.replace('/', '-')}-{theme}-{language[:2]}-{size}.png"
            shown.screenshot(path=Path(SHOTS) / name, full_page=True)
    view.close()
    assert view.problems == []


def test_an_event_is_stored_and_the_list_follows(view: View, server: LiveServer) -> None:
    page = view.open("user/fresh")
    page.get_by_label("Item ID").fill("i3")
    page.get_by_label("Kind").select_option("purchase")
    page.get_by_role("button", name="Store event").click()
    page.get_by_text("Durable after").wait_for()
    page.locator(".rows").get_by_text("Tea number 3").first.wait_for()
    assert [event["item_id"] for event in user_of(server, "fresh")["history"]] == ["i3"]


def test_what_if_moves_the_list_and_stores_nothing(view: View, server: LiveServer) -> None:
    before = user_of(server, "u1")
    page = view.open("user/u1")
    lines = page.locator("ol.list > li")
    lines.first.wait_for()
    page.get_by_label("Add an item to the history").fill("i9")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name="Recommendations with these changes").wait_for()
    page.locator(".move.up, .move.down, .move.new").first.wait_for()
    assert user_of(server, "u1") == before
    page.get_by_role("button", name="Back to the stored state").click()
    page.get_by_role("heading", name="Recommendations", exact=True).wait_for()


def test_the_parts_of_a_score_are_those_of_its_explanation(view: View, server: LiveServer) -> None:
    page = view.open("user/u2")
    first = page.locator("ol.list > li").first
    first.locator("summary").click()
    listed = httpx.get(f"{server.url}/v1/users/u2/recommendations", timeout=120.0).json()["items"][
        0
    ]["item_id"]
    parts = httpx.get(f"{server.url}/v1/users/u2/explanations/{listed}", timeout=120.0).json()[
        "parts"
    ]
    # The largest parts are shown first, until all have been read.
    playwright.expect(first.locator("table.parts tbody tr")).to_have_count(len(parts))


def test_a_neighbour_opens_by_keyboard(view: View) -> None:
    page = view.open("item/i1")
    nodes = page.locator(".node")
    nodes.first.wait_for()
    page.locator(".node:not(.opened)").first.focus()
    page.keyboard.press("Enter")
    page.locator(".node.opened").nth(1).wait_for()


def test_the_catalogue_is_searched(view: View) -> None:
    page = view.open("items")
    rows = page.locator("tbody tr")
    page.get_by_label("Search").fill("number 11")
    page.locator("tbody").get_by_text("Tea number 11").wait_for()
    page.get_by_label("Search").fill("nothing of this name")
    page.get_by_text("Nothing matches").wait_for()
    assert rows.count() == 0


def test_an_item_is_hidden_and_shown_again(view: View, server: LiveServer) -> None:
    page = view.open("item/i7")
    page.get_by_role("button", name="Hide from all lists").click()
    page.get_by_role("button", name="Show in lists again").wait_for()
    assert httpx.get(f"{server.url}/v1/items/i7", timeout=120.0).json()["available"] is False
    page.get_by_role("button", name="Show in lists again").click()
    page.get_by_role("button", name="Hide from all lists").wait_for()
    assert httpx.get(f"{server.url}/v1/items/i7", timeout=120.0).json()["available"] is True


def test_a_file_is_looked_at_then_stored_once(
    view: View, server: LiveServer, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    file.write_text('customer,product,when\nw1,"i1",2024-01-02\nw1,i2,2024-01-03\n,i3,2024-01-04\n')
    page = view.open("data")
    page.locator("#file").set_input_files(file)
    page.get_by_label("Time", exact=True).select_option(label="when")
    page.get_by_text("Line 4: User is missing.").wait_for()
    assert user_of(server, "w1").get("history", []) == []
    page.get_by_role("button", name="Store 2 rows").click()
    page.get_by_text("2 of 2 rows sent: 2 stored").wait_for()
    assert [one["item_id"] for one in user_of(server, "w1")["history"]] == ["i2", "i1"]
    page.get_by_role("button", name="Store 2 rows").click()
    page.get_by_text("2 of 2 rows sent: 0 stored").wait_for()


def test_forget_a_user_by_keyboard(view: View, server: LiveServer) -> None:
    httpx.post(
        f"{server.url}/v1/events", json={"user_id": "leaver", "item_id": "i1"}, timeout=120.0
    )
    page = view.open("user/leaver")
    page.get_by_role("button", name="Forget this user").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").wait_for()
    dialog.get_by_role("button", name="Forget this user").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 records were erased.").wait_for()
    assert user_of(server, "leaver").get("history", []) == []


def test_a_person_objects_deletes_a_tag_exports_and_is_erased(
    view: View, server: LiveServer, tmp_path: Path
) -> None:
    url = f"{server.url}/v1/users/ann%2Fb"
    httpx.post(f"{server.url}/v1/events", json={"user_id": "ann/b", "item_id": "i1"}, timeout=120.0)
    httpx.put(f"{url}/consent", json={"profiling": True, "purposes": ["newsletter"]}, timeout=120.0)
    page = view.open("privacy")
    press_to(page, page.get_by_label("User ID", exact=True))
    page.keyboard.type("ann/b")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="ann/b").wait_for()

    page.get_by_role("button", name="Delete tag tea").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("No interest tags").wait_for()
    assert httpx.get(f"{url}/tags", timeout=120.0).json()["tags"] == []

    page.get_by_label("Allow profiling").uncheck()
    press_to(page, page.get_by_role("button", name="Store the choice"))
    page.keyboard.press("Enter")
    page.get_by_text("profiling off").wait_for()
    stored = httpx.get(f"{url}/consent", timeout=120.0).json()
    assert (stored["profiling"], stored["purposes"]) == (False, ["newsletter"])

    with page.expect_download() as begun:
        page.get_by_role("button", name="Download the export").click()
    begun.value.save_as(tmp_path / "ann.zip")
    with zipfile.ZipFile(tmp_path / "ann.zip") as parts:
        assert [one["item_id"] for one in json.loads(parts.read("events.json"))] == ["i1"]

    page.get_by_role("button", name="Forget this user").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget this user").click()
    page.get_by_text("nothing is left").wait_for()
    page.get_by_text("The user never chose.").wait_for()
    if AXE.exists():
        assert view.violations() == []
    with page.expect_download() as begun:
        page.get_by_role("button", name="Save the receipt").click()
    begun.value.save_as(tmp_path / "receipt.json")
    receipt = json.loads((tmp_path / "receipt.json").read_text(encoding="utf-8"))
    assert page.get_by_text(receipt["token"]).count() == 1
    assert httpx.get(f"{url}/export", timeout=120.0).status_code == 404


def test_an_experiment_is_started_watched_and_stopped(view: View, server: LiveServer) -> None:
    page = view.open("experiments")
    page.get_by_label("Name", exact=True).fill("layout")
    definition = page.get_by_label("Definition (JSON)")
    definition.fill("{nothing")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("The definition is not valid JSON").wait_for()
    definition.fill('{"variants": {"old": {}, "fresh": {}}, "scenario": "trial"}')
    press_to(page, page.get_by_role("button", name="Start", exact=True))
    page.keyboard.press("Enter")
    page.get_by_text("no interval yet").wait_for()
    with httpx.Client(base_url=server.url, timeout=120.0) as http:
        clicks = []
        for n in range(160):
            asked = http.get(f"/v1/users/x{n}/recommendations?scenario=trial").json()
            if asked["variant"] == "fresh" or n % 10 == 0:
                item = asked["items"][0]["item_id"]
                of = asked["recommendation_id"]
                clicks.append({"user_id": f"x{n}", "item_id": item, "recommendation_id": of})
        sent = [{**one, "event": "click"} for one in clicks]
        assert http.post("/v1/events", json=sent).status_code == 200
    page = view.open("experiments/layout")
    page.reload()
    found = httpx.get(f"{server.url}/v1/experiments/layout/results", timeout=120.0).json()
    shown = page.get_by_role("region", name="Compared with old")
    shown.locator(".interval").wait_for()
    assert found["comparisons"][0]["significant"]
    shown.get_by_text("better").wait_for()
    if AXE.exists():
        assert view.violations() == []
        page.get_by_role("button", name="Switch between light and dark").click()
        assert view.violations() == []
    page.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    page.locator(".tile").get_by_text("stopped", exact=True).wait_for()
    assert (
        httpx.get(f"{server.url}/v1/experiments/layout", timeout=120.0).json()["running"] is False
    )

    page = view.open("report")
    page.get_by_label("By", exact=True).select_option("variant")
    row = page.locator("tr", has_text="layout: fresh")
    row.wait_for()
    by = httpx.get(f"{server.url}/v1/report", timeout=120.0).json()["by"]["variant"]
    lists = next(one["lists"] for one in by if one["value"] == "layout: fresh")
    assert row.locator("td").nth(1).inner_text() == str(lists)
    page.get_by_role("button", name="Freeze the factors").click()
    page.get_by_role("button", name="Let the factors follow").wait_for()
    assert httpx.get(f"{server.url}/v1/weights", timeout=120.0).json()["frozen"] is True
    if AXE.exists():
        assert view.violations() == []


def test_a_checkpoint_is_made_and_listed(view: View) -> None:
    page = view.open("models")
    page.get_by_role("button", name="Checkpoint").click()
    page.locator(".jobs li", has_text="Checkpoint").get_by_text("done").wait_for()


def test_the_flow_shows_an_event_at_once(view: View, server: LiveServer) -> None:
    page = view.open("flow")
    page.get_by_text("live", exact=True).wait_for()
    page.get_by_label("Show IDs").check()
    page.get_by_text("live", exact=True).wait_for()
    rows = page.locator("tbody tr")

    def seen() -> bool:  # the stream with IDs may begin after the first event
        httpx.post(
            f"{server.url}/v1/events", json={"user_id": "flowing", "item_id": "i3"}, timeout=120.0
        )
        page.wait_for_timeout(200)
        return bool(rows.get_by_text("flowing").count())

    assert any(seen() for _ in range(300))
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused", exact=True).wait_for()


def test_a_rule_is_stored_and_its_effect_shown(view: View, server: LiveServer) -> None:
    page = view.open("rules")
    page.get_by_role("button", name="+ pin").click()
    page.get_by_label("Name").fill("tea-first")
    page.get_by_label("User for the lists").fill("somebody-else")
    definition = page.get_by_label("Definition (JSON)")
    definition.fill("{nothing")
    page.get_by_role("button", name="Store and compare").click()
    page.get_by_text("The definition is not valid JSON").wait_for()
    definition.fill('{"pin": {"item_id": "i11", "position": 1}}')
    page.get_by_role("button", name="Store and compare").click()
    page.get_by_text("This user's list has changed").wait_for()
    after = page.get_by_role("region", name="After")
    after.locator("li").first.get_by_text("Tea number 11").wait_for()
    assert httpx.get(f"{server.url}/v1/rules/tea-first", timeout=120.0).status_code == 200
    page.get_by_role("button", name="Edit tea-first").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("No rules yet.").wait_for()
    assert httpx.get(f"{server.url}/v1/rules/tea-first", timeout=120.0).status_code == 404


def test_the_tour_ends_in_an_event_whose_effect_is_seen(view: View, server: LiveServer) -> None:
    page = view.open("tour/u1")
    for step in range(1, 6):
        page.get_by_text(f"Step {step} of 6").wait_for()
        if AXE.exists():
            assert view.violations() == [], step
        page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_text("Step 6 of 6").wait_for()
    before = user_of(server, "u1")["history"]
    assert page.get_by_label("Item ID").input_value()
    page.get_by_role("button", name="Store event").click()
    page.get_by_role("heading", name="Recommendations after the event").wait_for()
    page.get_by_role("button", name="Done").click()
    assert page.locator(".tour").count() == 0
    assert len(user_of(server, "u1")["history"]) == len(before) + 1


def test_the_settings_in_force_and_the_days_of_an_item_are_shown(view: View) -> None:
    page = view.open("system")
    page.get_by_text("engine.similar_users").wait_for()
    page = view.open("item/i3")
    page.get_by_role("heading", name="Events by day").wait_for()


def press_to(page: Any, wanted: Any, most: int = 80) -> None:
    """Press Tab until the focus is on an element, and check that it can be seen."""
    wanted.wait_for()
    for _ in range(most):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} cannot be reached with Tab")


def test_a_file_is_imported_by_keyboard_alone(view: View, tmp_path: Path) -> None:
    rows = "\n".join(f"k{n % 5},i{(n * 3 + n // 5) % 12},{1_700_000_000 + n}" for n in range(40))
    (tmp_path / "keys.csv").write_text(f"user_id,item_id,timestamp\n{rows}\n")
    page = view.open("overview")
    press_to(page, page.get_by_role("link", name="Import"))
    page.keyboard.press("Enter")
    press_to(page, page.locator("#file"))
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Space")
    chosen.value.set_files(tmp_path / "keys.csv")
    press_to(page, page.get_by_role("button", name="Store 40 rows"))
    page.keyboard.press("Enter")
    page.get_by_text("40 of 40 rows sent").wait_for()
    press_to(page, page.get_by_role("link", name="Train a model"))
    page.keyboard.press("Enter")
    press_to(page, page.get_by_role("button", name="Train a model"))


def test_models_are_trained_promoted_and_rolled_back_by_keyboard_alone(
    view: View, server: LiveServer
) -> None:
    def press(button: Any) -> None:
        press_to(page, button)
        page.keyboard.press("Enter")

    page = view.open("overview")
    press(page.get_by_role("link", name="Models and jobs"))
    for kind, name in (("Compaction", "Compaction"), ("Training", "Train a model")):
        press(page.get_by_role("button", name=name))
        job = page.locator(".jobs li").first
        playwright.expect(job).to_contain_text(kind)
        job.locator(".badge.good").wait_for(timeout=120_000)
    rows = page.locator("table tbody tr")
    rows.nth(1).wait_for()
    serving = page.locator("tr.chosen code").inner_text()
    press(page.get_by_role("button", name=re.compile("^Promote ")).first)
    playwright.expect(page.locator("tr.chosen code")).not_to_have_text(serving)
    press(page.get_by_role("button", name="Roll back"))
    playwright.expect(page.locator("tr.chosen code")).to_have_text(serving)


def test_theme_and_language_are_remembered(view: View) -> None:
    page = view.open("system")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.get_by_role("button", name="中文").click()
    page.reload()
    page.get_by_role("heading", name="系统").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_login_by_key(browser: Any, tmp_path: Path) -> None:
    live = start_server(tmp_path, api_key="secret")
    view = View(browser, live.url)
    view.page.goto(f"{live.url}/ui#/models")
    view.page.get_by_label("API key").fill("wrong")
    view.page.get_by_role("button", name="Log in").click()
    view.page.get_by_text("expired or revoked API key").wait_for()
    view.page.get_by_label("API key").fill("secret")
    view.page.get_by_role("button", name="Log in").click()
    view.page.get_by_role("heading", name="Models and jobs").wait_for()
    view.page.get_by_role("button", name="Log out").wait_for()
    assert view.page.evaluate("localStorage.length") == 0  # the key is in sessionStorage
    view.close()
    assert all("401" in problem for problem in view.problems)
    assert stop_server(live) == 0


def test_a_store_that_is_being_opened_is_waited_for(browser: Any, server: LiveServer) -> None:
    view = View(browser, server.url)
    # The text of `EngineHost`, which the dashboard tells from other reasons.
    answer = {"status": 503, "json": {"status": "the store is being opened"}}
    view.page.route("**/readyz", lambda route: route.fulfill(**answer))
    view.page.goto(f"{server.url}/ui#/models")
    view.page.get_by_text("The store is being opened").wait_for()
    assert view.page.get_by_role("heading", name="Models and jobs").count() == 0
    view.page.unroute("**/readyz")
    view.page.get_by_role("heading", name="Models and jobs").wait_for()
    view.close()


def test_the_dashboard_knows_the_text_for_a_store_that_is_being_opened() -> None:
    host = EngineHost(Recommender, JsonLog(sys.stderr, time.time))
    source = AXE.parents[2] / "src" / "api.js"
    assert f'"{host.state}"' in source.read_text(encoding="utf-8")
