"""The dashboard in a browser: what it shows of real servers, and what it has them do."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from background_project import servers, servers_pid, write
from dashboard_page import address, dashboard
from hostler_process import Run, server_table

EVIL = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"


def _up(run: Run, *options: str) -> None:
    done = run("up", *options)
    assert done.returncode == 0, done.stderr


def test_a_killed_server_is_seen_in_each_of_its_states_within_a_second(
    project: Path, run: Run, browser: Any
) -> None:
    # A delay is anything up to this one: long, and ended by hand, for a backoff that can be seen.
    delays = "initial_delay = '10m'\nmax_delay = '10m'"
    write(project, server_table(name="web"), f"[servers.web.restart]\n{delays}")
    _up(run)
    with dashboard(browser, address(run)) as first, dashboard(browser, address(run)) as second:
        for tab in (first, second):
            tab.wait_state("web", "running")
            tab.watch_states("web")
        os.kill(servers_pid(servers(run)["web"]), signal.SIGKILL)
        for tab in (first, second):
            tab.wait("window.states.some(([state]) => state === 'backoff')")
            tab.server("web").get_by_text("1 of 5, next try in ").wait_for()
            tab.server("web").get_by_text("killed by SIGKILL").first.wait_for()
            start = "Start web: not now, it waits for its next start; restart starts it at once"
            tab.server("web").get_by_role("button", name=start).wait_for()
        assert run("restart", "web").returncode == 0
        for tab in (first, second):
            tab.wait("window.states.at(-1)[0] === 'running'")

        done = run("events", "--server", "web", "--kind", "state", "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        times = {one["state"]: datetime.fromisoformat(one["time"]).timestamp() for one in events}
        for tab in (first, second):
            shown = tab.states()[1:]
            assert [one for one, _ in shown if one in {"crashed", "backoff"}] == ["crashed", "backoff"]
            assert shown[-1][0] == "running"
            assert [state for state, moment in shown if moment - times[state] > 1] == []
            # Told once for all states, to who hears the page.
            tab.wait("document.getElementById('announcements').textContent === 'web is running'")


def test_a_server_is_restarted_stopped_and_started_and_another_tab_agrees(
    project: Path, run: Run, browser: Any
) -> None:
    write(project, server_table(name="web"))
    _up(run)
    before = servers_pid(servers(run)["web"])
    with dashboard(browser, address(run)) as first, dashboard(browser, address(run)) as second:
        first.wait_state("web", "running")
        start = first.server("web").get_by_role("button", name="Start web: not now, it is running")
        assert start.get_attribute("aria-disabled") == "true"
        first.server("web").get_by_role("button", name="Restart web").click()
        first.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        first.server("web").get_by_role("button", name="Restart web").click()
        first.page.get_by_role("dialog").get_by_role("button", name="Restart").click()
        for tab in (first, second):
            row = "document.querySelector('[data-server=web]')"
            tab.wait(f"{row}.dataset.state === 'running' && !{row}.innerText.includes('{before}')")
        after = servers(run)["web"]
        assert (after["generation"], after["crashes"]) == (2, 0)
        second.page.get_by_role("button", name="Stop all…").click()
        second.page.get_by_role("dialog").get_by_role("button", name="Stop all").click()
        first.wait_state("web", "stopped")
        first.server("web").get_by_role("button", name="Start web", exact=True).click()
        second.wait_state("web", "running")


def test_what_servers_say_stays_text(project: Path, run: Run, browser: Any) -> None:
    script = f"import sys; print('''{EVIL}'''); print('''last {EVIL}''', file=sys.stderr); sys.exit(3)"
    name = json.dumps(EVIL)
    write(
        project,
        f"[servers.{name}]\ncommand = {json.dumps(['python3', '-c', script])}\nport = false",
        f"[servers.{name}.restart]\npolicy = 'never'",
    )
    done = run("up", "--no-wait")
    named = EVIL
    if done.returncode:  # such a name is not even taken
        named = "evil"
        write(project, (project / "hostler.toml").read_text().replace(name, named))
        assert run("up", "--no-wait").returncode == 0
    with dashboard(browser, address(run)) as tab:
        tab.wait_state(named, "failed")
        tab.open(named)
        tab.page.locator(".log-line", has_text="last <script>").wait_for()
        tab.page.locator(".crash pre", has_text="last <script>").wait_for()
        assert tab.page.evaluate("window.pwned") is None
        assert tab.page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        # The same where a filter, a search and a wrong address are shown.
        tab.page.fill("#search", EVIL)
        assert "of 2 lines" in tab.page.inner_text(".found")
        tab.page.evaluate(
            "evil => { location.hash = '#/servers/' + encodeURIComponent('no ' + evil); }", EVIL
        )
        tab.page.get_by_text("There is no server no <script>").wait_for()
        tab.page.evaluate("location.hash = '#/servers/%E0'")
        tab.page.get_by_text("There is no server %E0").wait_for()
        assert tab.page.evaluate("window.pwned") is None


def test_an_address_works_once_and_nothing_of_it_stays(project: Path, run: Run, browser: Any) -> None:
    write(project, server_table(name="web"))
    _up(run)
    url = address(run)
    with dashboard(browser, url) as tab:
        tab.wait_state("web", "running")
        assert "#" not in tab.page.url
        tab.page.reload()
        tab.wait_state("web", "running")
        tab.page.go_back()
        assert url.partition("#")[2] not in tab.page.url
    with dashboard(browser, url, quiet=False) as tab:
        tab.page.get_by_role("heading", name="This page is not connected any more").wait_for()
        assert tab.page.get_by_text("hostler dashboard", exact=True).is_visible()
        tab.picture("signed-out")


def _said_by_web(project: Path, first: str) -> Path:
    """A server that does this first, and then prints what is written into this pipe."""
    pipe = project / "pipe"
    os.mkfifo(pipe)
    follow = "for line in open(sys.argv[1]): print(line, end='', flush=True)"
    command = json.dumps(["python3", "-c", f"import sys\n{first}\n{follow}", str(pipe)])
    write(project, f"[servers.web]\ncommand = {command}\nport = false")
    return pipe


def test_the_log_is_followed_searched_and_sorted_out(project: Path, run: Run, browser: Any) -> None:
    lines = "for n in range(1500): print(f'\\x1b[32mline\\x1b[0m {n}', flush=True)"
    pipe = _said_by_web(project, f"{lines}\nprint('to stderr', file=sys.stderr, flush=True)")
    _up(run)
    with pipe.open("w", buffering=1) as told, dashboard(browser, address(run)) as tab:
        tab.open("web")
        page = tab.page
        page.locator(".log-line", has_text="to stderr").wait_for()
        assert page.locator(".log-line").count() < 100  # of 1,001
        assert page.locator(".log-line .front-2").first.inner_text() == "line"
        told.write("told now\n")
        page.locator(".log-line", has_text="told now").wait_for()

        page.locator(".log-view").evaluate("view => { view.scrollTop = 2000; }")
        page.wait_for_selector("button[aria-pressed=false]")
        told.write("one\ntwo\n")
        page.get_by_role("button", name="2 new lines").click()
        page.locator(".log-line", has_text="two").wait_for()

        page.keyboard.press("Escape")
        page.locator(".server-page").wait_for(state="detached")
        tab.open("web")
        page.locator(".log-line", has_text="two").wait_for()
        page.keyboard.press("/")
        page.keyboard.type("LINE 149")
        page.locator(".current mark").first.wait_for()
        assert page.inner_text(".found") == "1 of 10 lines"
        page.keyboard.press("Enter")
        assert page.inner_text(".found") == "2 of 10 lines"
        page.get_by_label("Regular expression").check()
        page.fill("#search", "line 14[0-4]{2}$")
        assert page.inner_text(".found").endswith("of 25 lines")
        page.fill("#search", "line (")
        assert page.inner_text(".found").startswith("No regular expression: ")
        page.fill("#search", "")

        page.get_by_label("Run", exact=True).select_option(label="Run 1")
        earlier = page.get_by_role("button", name="Load earlier lines")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        earlier.evaluate("button => { button.click(); button.click(); }")
        earlier.wait_for(state="hidden")
        assert len([url for url in asked if "before=" in url]) == 1
        page.locator(".log-view").evaluate("view => { view.scrollTop = 0; }")
        page.locator(".log-line", has_text="line 0").first.wait_for()
        page.fill("#search", "line")
        assert page.inner_text(".found").endswith(" of 1500 lines")
        page.get_by_label("Run", exact=True).select_option(label="All runs")
        page.get_by_label("Stream").select_option("stderr")
        assert page.locator(".log-line").all_inner_texts() != []
        assert all("to stderr" in text for text in page.locator(".log-line").all_inner_texts())
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert Path(download.value.path()).read_text().rstrip().endswith("to stderr")


def test_the_choice_of_a_run_takes_no_lines_of_a_former_hostler_that_counted_alike(
    project: Path, run: Run, browser: Any
) -> None:
    write(project, server_table("--print", "hello", name="web"))
    pids = []
    for _ in range(2):
        run("down")
        _up(run)
        pids.append(servers_pid(servers(run)["web"]))
    with dashboard(browser, address(run)) as tab:
        tab.open("web")
        for pid in pids:
            tab.page.get_by_label("Run", exact=True).select_option(label=f"Run 1 (pid {pid})")
            (mark,) = tab.page.locator(".log-mark").all_inner_texts()
            assert mark.startswith(f"run 1 began (pid {pid})")
            assert tab.page.locator(".log-line", has_text="hello").count() == 1


def test_of_a_flood_the_page_keeps_the_last_lines_and_can_copy_them(
    project: Path, run: Run, browser: Any
) -> None:
    pipe = _said_by_web(project, "")
    _up(run)
    allowed = ["clipboard-read", "clipboard-write"]
    url = address(run)
    with pipe.open("w", buffering=1) as told, dashboard(browser, url, permissions=allowed) as tab:
        tab.open("web")
        page = tab.page
        told.write("first\n")
        page.locator(".log-line", has_text="first").wait_for()
        told.write("".join(f"flood {n}\n" for n in range(6000)))
        page.locator(".log-line", has_text="flood 5999").wait_for()
        assert page.locator(".log-line").count() < 100
        page.fill("#search", "flood")
        assert 4000 < int(page.inner_text(".found").split()[-2]) <= 5000
        page.get_by_role("button", name="Copy", exact=True).click()
        page.get_by_text("The log copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").endswith("flood 5999")


def test_filter_order_and_colours_stay_and_a_reload_shows_its_plan_first(
    project: Path, run: Run, browser: Any
) -> None:
    write(project, server_table(name="web"), server_table("--allocate", str(50 << 20), name="old"))
    _up(run)
    with dashboard(browser, address(run)) as tab:
        tab.wait_state("web", "running")
        names = tab.page.locator("[data-server] .name")
        assert names.all_inner_texts() == ["web", "old"]
        tab.page.get_by_label("Sort by").select_option("memory")
        tab.page.locator("[data-server=old] + [data-server=web]").wait_for()  # when it has been sampled
        tab.page.get_by_label("Sort by").select_option("file")
        assert names.all_inner_texts() == ["web", "old"]
        tab.page.get_by_label("Sort by").select_option("name")
        assert names.all_inner_texts() == ["old", "web"]
        tab.page.fill("#filter", "running o")
        assert names.all_inner_texts() == ["old"]
        background = "getComputedStyle(document.body).backgroundColor"
        light = tab.page.evaluate(background)
        tab.page.get_by_label("Colours").select_option("dark")
        dark = tab.page.evaluate(background)
        tab.page.reload()
        tab.wait_state("old", "running")
        assert names.all_inner_texts() == ["old"]
        assert light != dark == tab.page.evaluate(background)
        tab.page.fill("#filter", "none such")
        tab.page.get_by_role("button", name="Clear the filter").click()
        assert names.all_inner_texts() == ["old", "web"]
        tab.server("web").locator(".facts").click()
        tab.page.get_by_role("heading", name="web", exact=True).wait_for()
        tab.page.go_back()
        tab.wait_state("web", "running")

        write(project, server_table(name="web", startup_timeout="'9s'"), server_table(name="new"))
        tab.page.get_by_role("button", name="Reload…").click()
        plan = tab.page.get_by_role("dialog")
        plan.get_by_text("startup_timeout").first.wait_for()
        words = plan.inner_text()
        assert all(one in words for one in ("Added", "new", "Removed, and stopped", "old", "Restarted"))
        tab.picture("reload")
        assert set(servers(run)) == {"web", "old"}
        plan.get_by_role("button", name="Reload").click()
        tab.wait_state("new", "running")
        tab.server("old").wait_for(state="detached")

    with dashboard(browser, address(run), quiet=False) as tab:  # a browser says itself that it was refused
        (project / "hostler.toml").write_text("[servers.web]\nno_such_key = 1\n")
        tab.page.get_by_role("button", name="Reload…").click()
        tab.page.get_by_role("alert").get_by_text("no_such_key").wait_for()


def test_the_keyboard_reaches_everything(project: Path, run: Run, browser: Any) -> None:
    write(project, server_table(name="one"), server_table(name="two"))
    _up(run)
    with dashboard(browser, address(run)) as tab:
        page = tab.page
        tab.wait_state("two", "running")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.get_by_role("dialog", name="Stop two?").wait_for()
        page.keyboard.press("Enter")
        tab.wait_state("two", "stopped")
        tab.wait("document.activeElement.textContent === 'two'")
        page.keyboard.press("s")
        tab.wait_state("two", "running")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="two", exact=True).wait_for()
        page.keyboard.press("Escape")
        tab.wait("document.activeElement.textContent === 'two'")
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.textContent") == "one"
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "filter"
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Keyboard and words").wait_for()
        page.keyboard.press("Escape")
        reached = []
        page.evaluate("document.activeElement.blur()")
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
                )
            )
            seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'")
            assert seen or page.evaluate("document.activeElement === document.body"), reached[-1]
        for label in (
            "Filter by name or state",
            "Reload…",
            "one",
            "Stop one",
            "Restart two",
            "Keyboard and words",
        ):
            assert label in reached


def test_the_page_of_a_server_has_all_that_is_known_of_it(
    project: Path, run: Run, environ: dict[str, str], browser: Any
) -> None:
    web = server_table("--print-error", "the last words", name="web", startup_timeout="'9s'")
    write(project, server_table(name="calm"), web)
    _up(run)
    os.kill(servers_pid(servers(run)["web"]), signal.SIGKILL)
    assert run("wait", "web").returncode == 0
    with dashboard(browser, address(run), permissions=["clipboard-read", "clipboard-write"]) as tab:
        # It runs, and is the one to look at all the same.
        tab.server("web").get_by_text("restarted 1 time after crashes, and not stable yet").wait_for()
        assert tab.page.locator("[data-server] .name").all_inner_texts() == ["web", "calm"]
        tab.wait("document.title.startsWith('(1) ')")
        tab.open("web")
        page = tab.page
        page.locator(".crash-mark").wait_for()
        words = page.locator(".timeline").get_attribute("aria-label")
        assert words is not None
        assert all(one in words for one in ("running", "backoff", "; 1 crash"))
        for name in ("Memory", "CPU"):
            plot = page.get_by_role("img", name=f"{name}: ")
            plot.locator("canvas").wait_for()
        tab.wait("/^Memory: [0-9.]+ MiB now, /.test(document.querySelector('.plot').ariaLabel)")
        crash = page.locator(".crash")
        assert "killed by SIGKILL" in crash.inner_text()
        assert "the last words" in crash.locator("pre").first.inner_text()
        explained = page.locator(".sentences").inner_text()
        assert all(one in explained for one in ("killed by SIGKILL", "The last line before that: "))
        log = f"{environ['XDG_DATA_HOME']}/hostler/"
        page.get_by_role("button", name="Copy the path of the log file").click()
        page.get_by_text("The path copied").wait_for()
        copied = str(page.evaluate("navigator.clipboard.readText()"))
        assert copied.startswith(log)
        assert "the last words" in Path(copied).read_text()

        page.locator("summary", has_text="Configuration").click()
        row = page.get_by_role("row", name="startup_timeout")
        assert "hostler.toml:" in row.first.inner_text()
        page.locator("summary", has_text="Plugins").click()
        assert "parse_port" in page.get_by_role("region", name="Plugins").inner_text()
        page.locator("summary", has_text="Processes").click()
        pid = servers_pid(servers(run)["web"])
        assert str(pid) in page.get_by_role("region", name="1 process").inner_text()

        def of_the_run_before(route: Any) -> None:
            points = route.fetch().json()["points"]
            route.fulfill(json={"points": [point | {"generation": 1} for point in points]})

        tab.context.route("**/v1/servers/web/memory", of_the_run_before)
        page.reload()
        tab.wait("/^Memory: [0-9.]+ MiB at /.test(document.querySelector('.plot')?.ariaLabel)")


def test_a_tab_that_nobody_sees_follows_nothing_and_is_right_when_it_is_seen(
    project: Path, run: Run, browser: Any
) -> None:
    write(project, server_table(name="web"))
    _up(run)
    hide = "is => { Object.defineProperty(document, 'hidden', {value: is, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    with dashboard(browser, address(run)) as tab:
        tab.wait_state("web", "running")
        ended: list[str] = []
        tab.page.on("requestfailed", lambda request: ended.append(request.url))
        tab.page.evaluate(hide, arg=True)
        while not any("/v1/events" in url for url in ended):
            tab.page.wait_for_timeout(20)
        assert run("stop", "web").returncode == 0
        assert tab.server("web").get_attribute("data-state") == "running"
        tab.page.evaluate(hide, arg=False)
        tab.wait_state("web", "stopped")
        assert run("start", "web").returncode == 0
        tab.wait_state("web", "running")


def test_events_that_were_missed_are_a_gap_that_is_told(project: Path, run: Run, browser: Any) -> None:
    write(project, server_table(name="web"))
    _up(run)
    with dashboard(browser, address(run)) as tab:
        tab.wait_state("web", "running")
        # The next stream begins with a gap, as one that was too slow: no page is that slow in a test.
        frames = 'id: 1-1\nevent: gap\ndata: {"missed": 12}\n\n'
        told = {"content_type": "text/event-stream", "body": frames}
        tab.context.route("**/v1/events?*", lambda route: route.fulfill(**told), times=1)
        tab.page.reload()
        tab.page.get_by_text("12 events could not be shown").wait_for()
        tab.wait_state("web", "running")


def test_without_servers_the_page_says_what_to_do(project: Path, run: Run, browser: Any) -> None:
    write(project, server_table(name="web"))
    _up(run)
    with dashboard(browser, address(run)) as tab:
        tab.wait_state("web", "running")
        # A file has a server at least; a program that embeds hostler may have none yet.
        told = json.dumps(
            {"servers": [], "cursor": json.loads(run("ps", "--json").stdout)["cursor"], "next": None}
        )
        tab.context.route("**/v1/servers", lambda route: route.fulfill(body=told))
        tab.page.reload()
        tab.page.get_by_role("heading", name="No servers yet").wait_for()
        assert tab.violations() == {}
        tab.picture("empty")
