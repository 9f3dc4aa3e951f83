"""The support team's journey in Chromium: sign in, queue, ticket, solve; the chart; what every page must be like.

`FOREWARN_SCREENSHOTS=FOLDER` also keeps a picture of each page at each width.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.browser.conftest import TOKEN, Browser
from tests.modes import PUMP
from tests.seed import FRIDGE

SHADOW = f"{datetime.now(UTC) - timedelta(days=12):%Y-%m-%d}.1"
THRESHOLDS = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}.1"
PAGES = {
    "sign-in": "/sign-in",
    "queue": "/",
    "queue-empty": "/?state=closed&severity=critical",
    "devices": "/devices",
    "device": f"/devices/{FRIDGE}",
    "device-of-modes": f"/devices/{PUMP}",
    "device-without-profile": "/devices/washer-lyon-1",
    "dead-letters": "/dead-letters",
    "models": "/models",
    "model": f"/models/fridge/{SHADOW}",
    "model-of-thresholds": f"/models/air_compressor/{THRESHOLDS}",
    "ticket": "/tickets/7",
    "ticket-closed": "/tickets/1",
    "not-found": "/tickets/999",
}
LIVE = f"{datetime.now(UTC) - timedelta(days=25):%Y-%m-%d}.1"
PAINTED = "document.getElementById('chart')?.dataset.painted"
# How many of the chart's pixels, or of those between two parts of its width, are of a line's colour, not of paper, grid or shade.
INK = """
const canvas = document.querySelector('#chart canvas');
const over = document.querySelector('#chart .u-over');
const [from, to] = (arguments[1] ?? [0, 1]).map((part) => Math.round(over.offsetLeft + part * over.clientWidth));
const data = canvas.getContext('2d').getImageData(from, 0, to - from, canvas.height).data;
const want = arguments[0];
let count = 0;
for (let at = 0; at < data.length; at += 4)
  if (data[at + 3] === 255 && want.every((value, channel) => Math.abs(data[at + channel] - value) < 24)) count += 1;
return count;
"""
# Keeps of what is drawn how many parts of lines are level and how many neither level nor upright, and what is written.
RECORD = """
window.drawn = {};
const last = new WeakMap();
const line = Path2D.prototype.lineTo;
Path2D.prototype.lineTo = function (x, y) {
  const from = last.get(this);
  if (from && from[1] === y) window.drawn.level += 1;
  if (from && from[0] !== x && from[1] !== y) window.drawn.slopes += 1;
  last.set(this, [x, y]);
  return line.call(this, x, y);
};
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  window.drawn.written.push(text);
  return write.call(this, text, ...rest);
};
"""
BLUE, VIOLET = [15, 76, 129], [124, 58, 237]


def sign_in(browser: Browser) -> None:
    browser.open("/sign-in")
    browser.driver.find_element(By.ID, "token").send_keys(TOKEN)
    browser.driver.find_element(By.CSS_SELECTOR, "main button").click()
    browser.until("document.querySelector('h1')?.textContent === 'Queue'")


def test_from_the_queue_to_a_solved_ticket(browser: Browser) -> None:
    browser.size(1440)
    sign_in(browser)
    driver = browser.driver
    driver.find_element(By.CSS_SELECTOR, "#ticket-9 .lead a").click()
    browser.until("document.querySelector('h1').textContent.startsWith('Refrigerant leak')")
    driver.find_element(By.XPATH, "//button[text()='Take it']").click()
    browser.until("document.querySelector('.said')?.textContent === 'You have this ticket now.'")
    assert "Assigned to admin" in driver.find_element(By.ID, "standing").text
    Select(driver.find_element(By.ID, "resolution")).select_by_value("confirmed")
    driver.find_element(By.ID, "solved-note").send_keys("Leak at the condenser, welded.")
    driver.find_element(By.XPATH, "//button[text()='Solve the ticket']").click()
    browser.until("document.querySelector('.said')?.textContent.startsWith('The ticket is solved.')")
    assert "Solved" in driver.find_element(By.ID, "standing").text
    timeline = driver.find_element(By.ID, "timeline").text
    assert "Leak at the condenser, welded." in timeline
    assert "assigned to admin" in timeline
    driver.find_element(By.LINK_TEXT, "Queue").click()
    browser.until("document.querySelector('h1').textContent === 'Queue'")
    assert not driver.find_elements(By.ID, "ticket-9")
    assert browser.complaints() == []


def test_the_queue_shows_news_by_itself_and_only_while_seen(browser: Browser) -> None:
    browser.size(1440)
    sign_in(browser)
    browser.js("document.querySelector('#ticket-7 .lead a').focus(); document.querySelector('#ticket-6').remove()")
    browser.until("document.querySelector('#ticket-6') !== null", within=15)
    assert browser.js("return document.activeElement.closest('tr')?.id") == "ticket-7"
    asked = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/?state=living')).length"
    before = browser.js(f"return {asked}")
    browser.js("Object.defineProperty(document, 'hidden', {get: () => true})")
    browser.js("window.turns = 0; document.addEventListener('htmx:config:request', () => { window.turns += 1; })")
    browser.until("window.turns >= 1", within=15)
    assert browser.js(f"return {asked}") == before


def test_the_chart_is_painted_and_zooms(browser: Browser) -> None:
    browser.size(1440)
    sign_in(browser)
    browser.open(PAGES["device"])
    first = browser.until(PAINTED)
    assert browser.js(INK, BLUE) > 300
    assert browser.js(INK, VIOLET) > 300
    driver = browser.driver
    assert "Electric power" in driver.find_element(By.ID, "legend").text

    driver.find_element(By.CSS_SELECTOR, "[data-days='30']").click()
    second = browser.until(f"{PAINTED} > {first} && {PAINTED}")
    assert "least to greatest value" in driver.find_element(By.ID, "said").text
    assert driver.find_element(By.CSS_SELECTOR, "[data-days='30']").get_attribute("aria-pressed") == "true"

    over = driver.find_element(By.CSS_SELECTOR, "#chart .u-over")
    ActionChains(driver).move_to_element_with_offset(over, -60, 0).click_and_hold().move_by_offset(
        90, 0
    ).release().perform()
    third = browser.until(f"{PAINTED} > {second} && {PAINTED}")
    assert "as measured" in driver.find_element(By.ID, "said").text
    whole = driver.find_element(By.ID, "whole")
    assert whole.is_displayed()
    whole.click()
    fourth = browser.until(f"{PAINTED} > {third} && {PAINTED}")

    driver.find_element(By.CSS_SELECTOR, "[data-finding]").click()
    fifth = browser.until(f"{PAINTED} > {fourth} && {PAINTED}")
    assert browser.js(INK, BLUE) > 300

    driver.find_element(By.CSS_SELECTOR, "#choose summary").click()
    driver.find_element(By.CSS_SELECTOR, "#signals input[value='compressor_vibration']").click()
    browser.until(f"{PAINTED} > {fifth} && {PAINTED}")
    assert browser.js(INK, VIOLET) == 0
    assert browser.js("return document.querySelector(\"#signals input[value='fan_speed']\").disabled") is False
    assert browser.complaints() == []


def test_the_axis_of_time_has_24_hours(browser: Browser) -> None:
    browser.size(1440)
    sign_in(browser)
    browser.open(PAGES["device"])
    browser.until(PAINTED)
    browser.js("""
        window.drawn = [];
        const original = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          window.drawn.push(text);
          return original.call(this, text, ...rest);
        };
    """)
    browser.driver.find_element(By.CSS_SELECTOR, "[data-days='1']").click()
    browser.until("window.drawn.some((text) => /^(1[3-9]|2[0-3]):00/.test(text))")
    assert not browser.js("return window.drawn.some((text) => /[ap]m$/i.test(text))")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_mode_is_drawn_as_steps_of_whole_numbers(browser: Browser, width: int) -> None:
    browser.size(width)
    sign_in(browser)
    browser.open(PAGES["device-of-modes"])
    before = browser.until(PAINTED)
    driver = browser.driver
    newest = driver.find_element(By.XPATH, "//section[@aria-labelledby='latest']//li[span='Mode']/strong").text
    assert newest in {"0", "1", "2", "4"}
    assert driver.find_element(By.CSS_SELECTOR, "#legend strong").text == newest
    driver.find_element(By.CSS_SELECTOR, "[data-days='1']").click()
    before = browser.until(f"{PAINTED} > {before} && {PAINTED}")
    for colour in (BLUE, VIOLET):
        # It was silent from 20 to 13 hours ago: no mode is held over that, and nothing drawn across.
        assert browser.js(INK, colour, [0.19, 0.44]) == 0
        assert browser.js(INK, colour, [0.5, 1]) > 100
    driver.find_element(By.CSS_SELECTOR, "#choose summary").click()
    # A mode has an axis of its own, though the efficiency has no unit either.
    assert driver.find_element(By.CSS_SELECTOR, "#signals input[value='efficiency']").get_attribute("disabled")
    driver.find_element(By.CSS_SELECTOR, "#signals input[value='flow_temp']").click()
    before = browser.until(f"{PAINTED} > {before} && {PAINTED}")
    browser.js(RECORD)
    for days in ("1", "30"):
        browser.js("window.drawn = {level: 0, slopes: 0, written: []}")
        driver.find_element(By.CSS_SELECTOR, f"[data-days='{days}']").click()
        before = browser.until(f"{PAINTED} > {before} && {PAINTED}")
        drawn = browser.js("return window.drawn")
        assert drawn["level"] > 50
        assert drawn["slopes"] == 0
        axis = {text for text in drawn["written"] if re.fullmatch(r"[\d.,-]+", text)}
        assert {"0", "1"} <= axis <= {"0", "1", "2", "3", "4"}
        said = driver.find_element(By.ID, "said").text
        assert ("most frequent mode of each" in said) == (days == "30")
        over = driver.find_element(By.CSS_SELECTOR, "#chart .u-over")
        seen = set()
        for at in range(-over.size["width"] // 2 + 5, over.size["width"] // 2 - 5, 17):
            ActionChains(driver, duration=0).move_to_element_with_offset(over, at, 0).perform()
            seen.add(driver.find_element(By.CSS_SELECTOR, "#legend strong").text)
        assert {"0", "1"} <= seen <= {"0", "1", "2", "4", "–"}
        assert days == "30" or "–" in seen
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [1440, 390])
def test_each_page_is_light_accessible_and_stays_here(browser: Browser, axe: str, width: int) -> None:
    pictures = os.environ.get("FOREWARN_SCREENSHOTS")
    browser.size(width)
    for name, path in PAGES.items():
        if name == "queue":
            sign_in(browser)
        browser.empty_cache()
        browser.open(path)
        if name in ("device", "device-of-modes"):
            browser.until(PAINTED)
        browser.collect()
        assert 1_000 < browser.weight < 150_000, (name, browser.weight)
        print(f"{name} at {width} px: {browser.weight:,} bytes")
        assert browser.js("return document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways"
        for dark in (False, True):
            browser.dark(on=dark)
            assert violations(browser, axe) == [], (name, width, dark)
            if pictures:
                picture(browser, Path(pictures) / f"{name}-{width}{'-dark' if dark else ''}.png", width)
        browser.dark(on=False)
        complaints = browser.complaints()
        assert [c for c in complaints if name != "not-found" or "404" not in c] == [], name
    assert {urlsplit(url).hostname for url in browser.requested} == {"127.0.0.1"}


def test_times_are_by_the_clock_of_who_reads(browser: Browser) -> None:
    browser.size(1440)
    # Half an hour beside all others, so that no other zone looks right.
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "America/St_Johns"})
    sign_in(browser)
    assert "times in America/St Johns" in browser.driver.find_element(By.ID, "main").text
    browser.open(PAGES["device"])
    browser.until(PAINTED)
    # The browser's own reading of each time is what the page says.
    wrong = browser.js("""
        const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
        const clock = (time) => new Date(time).toLocaleTimeString("en", parts);
        const times = [...document.querySelectorAll("time[title]")];
        const facts = JSON.parse(document.getElementById("chart").dataset.chart);
        const until = clock(facts.until + 60_000);
        return [
          times.length === 0 && "no time",
          ...times.filter((t) => !t.title.includes(clock(t.dateTime))).map((t) => t.title),
          !document.getElementById("said").textContent.includes(`${until} GMT-`) && document.getElementById("said").textContent,
        ].filter(Boolean);
    """)
    assert wrong == []
    assert browser.complaints() == []


def test_an_admin_promotes_a_shadow_and_takes_it_back(browser: Browser) -> None:
    browser.size(1440)
    sign_in(browser)
    driver = browser.driver
    driver.find_element(By.LINK_TEXT, "Models").click()
    browser.until("document.querySelector('h1').textContent === 'Models'")
    driver.find_element(By.LINK_TEXT, SHADOW).click()
    browser.until(f"document.querySelector('h1').textContent === 'Model {SHADOW}'")
    assert "It stays a shadow" in driver.find_element(By.CSS_SELECTOR, "[aria-labelledby=rules]").text
    assert "1 signal no longer looks" in driver.find_element(By.CSS_SELECTOR, "[aria-labelledby=drift]").text
    driver.find_element(By.ID, "reason").send_keys("It found the compressor a day before.")
    driver.find_element(By.XPATH, "//button[text()='Let it judge']").click()
    browser.until("document.querySelector('.said')?.textContent.startsWith('It judges now')")
    assert driver.find_element(By.ID, "standing").text.startswith("Live")
    newest = driver.find_element(By.CSS_SELECTOR, ".timeline li").text
    assert f"Live in place of {LIVE}" in newest
    assert "It found the compressor a day before." in newest
    driver.find_element(By.ID, "reason").send_keys("Only a test.")
    driver.find_element(By.XPATH, "//button[text()='Retire it']").click()
    browser.until("document.querySelector('.said')?.textContent.startsWith('It is retired')")
    browser.open("/models")
    assert "No model is live" in driver.find_element(By.ID, "main").text
    assert browser.complaints() == []


def violations(browser: Browser, axe: str) -> list[str]:
    if not browser.js("return typeof axe === 'object'"):
        # As the tool's own: the page's Content-Security-Policy stays as it is.
        browser.js(axe)
    found = browser.driver.execute_async_script("""
        const done = arguments[0];
        axe.run().then((result) => done(result.violations.map(
          (v) => `${v.id}: ${v.nodes.map((n) => n.target + ' ' + n.failureSummary).join('; ')}`)));
    """)
    assert isinstance(found, list)
    return found


def picture(browser: Browser, file: Path, width: int) -> None:
    browser.size(width, browser.js("return document.documentElement.scrollHeight"))
    file.parent.mkdir(parents=True, exist_ok=True)
    browser.driver.save_screenshot(str(file))
    browser.size(width)
