"""The picture of the last weeks: what it shows, what it leaves out, and that it needs nothing from elsewhere."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flows.drift import ChannelResult, DriftReport, Measure, PeriodSummary, Verdict
from flows.drift.history import page_name, write_history
from flows.drift.report import WatchedWindow

NOW = datetime(2025, 3, 1, 6, tzinfo=UTC)
SIDE = PeriodSummary(
    rows=300,
    queries=60,
    unrankable_queries=0,
    compared_rows=300,
    compared_queries=60,
    first=None,
    last=None,
)

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Keep a report as the watch does, judged and its window ended at `at`."""

    def keep(at: datetime, *times: float, verdict: Verdict = "green", traffic: str = "labelled pairs") -> Path:
        channels = tuple(
            ChannelResult(
                name=f"channel {number}",
                measures=(Measure(test="PSI", statistic=t / 4, threshold=0.25),),
                p_value=0.005 if t > 0.9 else 0.5,
                drifted=t > 1,
            )
            for number, t in enumerate(times)
        )
        report = DriftReport(
            traffic=traffic,
            verdict=verdict,
            reason="",
            reference=SIDE,
            current=SIDE,
            false_alarm_rate=0.01,
            channels=channels,
            windows=(WatchedWindow(until=at, verdict=verdict, queries=60),),
        )
        folder = tmp_path / at.strftime("%Y-%m-%dT%H%M%S")
        folder.mkdir()
        report.save(folder / "drift.json")
        return folder

    return keep


def draw(folder: Path, weeks: int = 12) -> str:
    page = write_history(folder, "labelled pairs", NOW, weeks)
    assert page == folder / page_name("labelled pairs")
    return page.read_text("utf-8")


def panels(html: str) -> dict[str, list[str]]:
    """The marks of each panel in order of time, as `<colour> <tooltip>`."""
    found = {}
    for figure in re.findall(r"<figure>.*?</figure>", html):
        tree = ElementTree.fromstring(figure)
        marks = [mark for mark in tree.iter() if mark.find("title") is not None]
        found[tree.findtext("figcaption", "")] = [f"{m.get('class')} {m.findtext('title')}" for m in marks]
    return found


def heights(html: str, panel: str) -> list[float]:
    figure = re.search(rf"<figure><figcaption>{panel}</figcaption>.*?</figure>", html)
    assert figure
    points = re.search(r'points="([^"]+)"', figure[0])
    assert points
    return [float(point.split(",")[1]) for point in points[1].split()]


def test_each_channel_is_drawn_over_time_with_its_verdict(save: Save, tmp_path: Path) -> None:
    save(NOW - timedelta(days=14), 0.5, 0.2)
    save(NOW - timedelta(days=7), 0.95, 0.2, verdict="amber")
    save(NOW, 2, 0.2, verdict="red")
    assert panels(draw(tmp_path)) == {
        "Verdict": ["green 2025-02-15: green", "amber 2025-02-22: amber", "red 2025-03-01: red"],
        "channel 0": [
            "green 2025-02-15: PSI 0.125, threshold 0.25",
            "amber 2025-02-22: PSI 0.2375, threshold 0.25",
            "red 2025-03-01: PSI 0.5, threshold 0.25",
        ],
        "channel 1": [f"green 2025-{day}: PSI 0.05, threshold 0.25" for day in ("02-15", "02-22", "03-01")],
    }


def test_higher_is_further_and_what_leaves_the_axis_stands_at_its_end(save: Save, tmp_path: Path) -> None:
    for day, times in enumerate((0, 0.01, 0.5, 1, 2, 1e9)):
        save(NOW - timedelta(days=6 - day), times)
    html = draw(tmp_path)
    found = heights(html, "channel 0")
    assert found == sorted(found, reverse=True)  # SVG counts from the top
    assert found[0] == found[1]
    assert f'class="threshold" x1="34" x2="332" y1="{found[3]:.1f}"' in html


def test_only_the_newest_report_of_a_day_counts(save: Save, tmp_path: Path) -> None:
    save(NOW - timedelta(hours=2), 0.5)
    save(NOW, 2, verdict="red")
    assert panels(draw(tmp_path))["Verdict"] == ["red 2025-03-01: red"]


def test_old_reports_other_traffic_and_clocks_that_ran_ahead_stay_out(save: Save, tmp_path: Path) -> None:
    save(NOW - timedelta(weeks=13), 0.5)
    save(NOW + timedelta(days=400), 0.5)
    save(NOW - timedelta(days=2), 2, verdict="red", traffic="live traffic")
    assert write_history(tmp_path, "labelled pairs", NOW, 12) is None
    assert not list(tmp_path.glob("*.html"))
    save(NOW - timedelta(days=1), 0.5)
    assert panels(draw(tmp_path))["Verdict"] == ["green 2025-02-28: green"]


def test_a_channel_that_was_never_measured_has_no_panel(save: Save, tmp_path: Path) -> None:
    folder = save(NOW, 0.5)
    report = DriftReport.model_validate_json((folder / "drift.json").read_bytes())
    empty = ChannelResult(name="query meaning")
    report.model_copy(update={"channels": (*report.channels, empty)}).save(folder / "drift.json")
    assert list(panels(draw(tmp_path))) == ["Verdict", "channel 0"]


def test_a_window_without_a_verdict_is_shown_as_such(save: Save, tmp_path: Path) -> None:
    save(NOW - timedelta(days=1), 0.5)
    save(NOW, verdict="not enough data")
    html = draw(tmp_path)
    assert panels(html)["Verdict"][-1] == "none 2025-03-01: not enough data"
    assert len(panels(html)["channel 0"]) == 1


def test_foreign_files_are_passed_over_and_counted_once(
    save: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(NOW, 0.5)
    for name, content in (("a", b"{"), ("b", b"\xff\xfe"), ("c", b'{"verdict": "purple"}'), ("d", b"[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "drift.json").write_bytes(content)
    (tmp_path / "e" / "drift.json").mkdir(parents=True)
    with caplog.at_level("WARNING", "flows.drift"):
        html = draw(tmp_path)
    assert panels(html)["Verdict"] == ["green 2025-03-01: green"]
    assert [record.getMessage().partition(" files")[0] for record in caplog.records] == ["5"]


def test_a_report_without_windows_is_dated_by_its_folder(save: Save, tmp_path: Path) -> None:
    folder = save(NOW - timedelta(days=3), 0.5)
    report = DriftReport.model_validate_json((folder / "drift.json").read_bytes())
    report.model_copy(update={"windows": ()}).save(folder / "drift.json")
    assert panels(draw(tmp_path))["Verdict"] == ["green 2025-02-26: green"]


def test_a_constant_channel_has_a_threshold_of_nothing(save: Save, tmp_path: Path) -> None:
    for day, (statistic, drifted) in enumerate(((0.0, False), (0.1, True))):
        folder = save(NOW - timedelta(days=1 - day))
        report = DriftReport.model_validate_json((folder / "drift.json").read_bytes())
        measure = Measure(test="PSI", statistic=statistic, threshold=0)
        channel = ChannelResult(name="constant", measures=(measure,), p_value=1, drifted=drifted)
        report.model_copy(update={"channels": (channel,)}).save(folder / "drift.json")
    html = draw(tmp_path)
    assert [mark.split()[0] for mark in panels(html)["constant"]] == ["green", "red"]
    assert len(set(heights(html, "constant"))) == 2


def test_the_table_says_the_same_and_links_the_pages_that_there_are(save: Save, tmp_path: Path) -> None:
    with_page = save(NOW - timedelta(days=7), 2, 0.5, verdict="red")
    (with_page / "drift.html").write_text("Evidently's page", "utf-8")
    save(NOW, 0.5, 0.5)
    rows = re.findall(r"<tr>(.*?)</tr>", draw(tmp_path))[1:]
    newest, oldest = ([re.sub("<.*?>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows)
    assert newest == ["2025-03-01 06:00 UTC", "green", "—", "—"]
    assert oldest == ["2025-02-22 06:00 UTC", "red", "yes", "channel 0"]
    assert re.findall('href="([^"]+)"', "".join(rows)) == ["2025-02-22T060000/drift.html"]


def test_the_page_needs_no_script_and_no_other_host_and_is_well_formed(save: Save, tmp_path: Path) -> None:
    folder = save(NOW, 0.5)
    report = DriftReport.model_validate_json((folder / "drift.json").read_bytes())
    evil = '</figcaption><script src="https://example.org/x.js"></script>'
    channel = report.channels[0].model_copy(update={"name": evil})
    report.model_copy(update={"channels": (channel,)}).save(folder / "drift.json")
    html = draw(tmp_path)
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            for name, value in attributes:
                assert name not in {"src", "onload", "onclick", "style"}
                assert name != "href" or not str(value).startswith(("http", "//", "javascript"))

    Tags().feed(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert evil in panels(html)
    assert not re.search(r"url\(|@import", html)


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        write_history(tmp_path, "labelled pairs", NOW.replace(tzinfo=None), 12)
