"""Files that are broken or mean harm: one line with the place, at once, and nothing of the machine is touched."""

from __future__ import annotations

import json
import os
import stat
import time
import zipfile
from pathlib import Path

import pytest

from direction.timeline.edits import full, simple
from filmwright.direction.timeline.exchange import SUFFIXES, read_timeline, write_timeline
from filmwright.spec.errors import FilmwrightError, TimelineError
from filmwright.spec.timecode import parse_rate

BOMB = """<?xml version="1.0"?><!DOCTYPE fcpxml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><fcpxml version="1.10">&c;</fcpxml>"""
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE xmeml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xmeml>&x;</xmeml>'
DTD_OUTSIDE = '<?xml version="1.0"?><!DOCTYPE xmeml SYSTEM "file:///etc/passwd"><xmeml/>'


def broken(path: Path, content: bytes | str, match: str) -> str:
    """The one line that reading it gives."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(TimelineError, match=match) as caught:
        read_timeline(path, rate=parse_rate("24"))
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".xml", ".fcpxml"])
@pytest.mark.parametrize("content", [BOMB, OUTSIDE], ids=["bomb", "outside"])
def test_entities_are_refused(suffix: str, content: str, tmp_path: Path) -> None:
    said = broken(tmp_path / f"cut{suffix}", content, "entities and references to other files are refused")
    assert f"cut{suffix}:1:" in said


def test_a_document_type_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(TimelineError):
        read_timeline(_put(tmp_path / "cut.xml", DTD_OUTSIDE))


def _put(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "where", "match"),
    [
        ("<xmeml>\n  <sequence>\n</xmeml>", "3:", "mismatched tag"),
        ("", "1:1", "no XML"),
        ("junk", "1:1", "no XML"),
        ("<html/>", "1:1", "<html> is no timeline"),
        ("<fcpxml version='1.10'/>", "1:1", "there is no project"),
        ("<xmeml/>", "1:1", "there is no sequence"),
        ("<xmeml><sequence>\n<media/></sequence></xmeml>", "1:8", "has no rate"),
        ("<xmeml><sequence><rate><timebase>-3</timebase></rate><media/></sequence></xmeml>", "1:18", "no rate of a timeline"),
        ("<xmeml><sequence><rate><timebase>9e99</timebase></rate><media/></sequence></xmeml>", "1:24", "not a number"),
        ("<?xml version='1.0' encoding='x-none'?><xmeml/>", "1:", "no XML"),
        ("<a>" * 200, "1:", "deep"),
        ("<fcpxml><resources/><project><sequence format='r1'><spine/></sequence></project></fcpxml>", "1:30", "no format"),
        ("<fcpxml><resources><format id='r1' frameDuration='0/0s'/></resources><project><sequence format='r1'><spine/></sequence></project></fcpxml>", "1:20", "not a time"),
    ],
)  # fmt: skip
def test_broken_xml_says_where(content: str, where: str, match: str, tmp_path: Path) -> None:
    assert f"cut.xml:{where}" in broken(tmp_path / "cut.xml", content, match)


@pytest.mark.parametrize(
    ("content", "where", "match"),
    [
        ('{"OTIO_SCHEMA": "Timeline.1",\n "x": ]', "2:7", "no JSON"),
        ("", "1:1", "no JSON"),
        (b"\xff\xfe{", "1:1", "UTF-8"),
        ("[" * 5000, "1:101", "deep"),
        ('{"a": ' * 2_000_000, "1:", "deep"),
        ("{}", "1:1", "no timeline in it"),
        ('{"OTIO_SCHEMA": "Clip.2", "name": "x"}', "1:1", "named 'x': "),
        ('{"OTIO_SCHEMA": "Timeline.99"}', "1:1", "no OpenTimelineIO"),
        ('{"OTIO_SCHEMA": "Timeline.1"}', "1:1", "no OpenTimelineIO"),
        ("1" * 10_000, "1:1", "no JSON"),
    ],
)  # fmt: skip
def test_broken_otio_says_where(content: str | bytes, where: str, match: str, tmp_path: Path) -> None:
    assert f"cut.otio:{where}" in broken(tmp_path / "cut.otio", content, match)


@pytest.mark.parametrize(
    "value", ['"rate": 0.0', '"rate": -24.0', '"rate": 1e300', '"rate": NaN', '"rate": "x"', '"rate": 24.0, "value": 1e300',
              '"rate": 24.0, "value": -5e9', '"rate": 23.5']
)  # fmt: skip
def test_numbers_that_make_no_time(value: str, tmp_path: Path) -> None:
    write_timeline(simple(2), tmp_path / "good.otio")
    text = (tmp_path / "good.otio").read_text()
    bad = text.replace('"rate": 24.0', value, 6).replace('"fps": "24"', '"fps": 24')
    assert bad != text
    broken(tmp_path / "cut.otio", bad, ".")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ten_megabytes_of_junk(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(os.urandom(10_000_000))
    began = time.perf_counter()
    with pytest.raises(TimelineError, match=str(path)):
        read_timeline(path, rate=parse_rate("24"))
    assert time.perf_counter() - began < 20, "junk is seen at its first sign, not at its last"


def outcome(path: Path) -> str | None:
    """What reading says is wrong, None if nothing is; any other end than these two fails the test."""
    try:
        read_timeline(path)
    except FilmwrightError as error:
        return str(error)
    return None


@pytest.mark.parametrize("suffix", [".edl", ".xml", ".fcpxml", ".otio"])
def test_a_file_cut_short_anywhere(suffix: str, tmp_path: Path) -> None:
    write_timeline(full(), tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for part in range(1, 12):
        path.write_bytes(whole[: len(whole) * part // 12])
        said = outcome(path)
        if said is None:
            assert suffix == ".edl", "only a list of lines can end at any of them"
        else:
            assert str(path) in said


@pytest.mark.parametrize("suffix", [".edl", ".xml", ".fcpxml", ".otio"])
def test_a_file_with_one_wrong_byte_never_ends_in_anything_else(suffix: str, tmp_path: Path) -> None:
    write_timeline(full(), tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for i in range(0, len(whole), max(len(whole) // 40, 1)):
        for sign in (b"-", b"9", b'"'):
            path.write_bytes(whole[:i] + sign + whole[i + 1 :])
            assert len(outcome(path) or "") < 500


@pytest.mark.parametrize(
    "name", ["../evil.mov", "/etc/evil", "media/../../evil", "media\\..\\evil", "C:/evil"]
)
def test_a_bundle_whose_entries_lead_out_is_refused(name: str, tmp_path: Path) -> None:
    write_timeline(simple(2), tmp_path / "cut.otioz")
    with zipfile.ZipFile(tmp_path / "cut.otioz", "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(TimelineError, match="leads out of the bundle"):
        read_timeline(tmp_path / "cut.otioz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.otioz"]


def test_a_bundle_with_a_link_is_refused(tmp_path: Path) -> None:
    write_timeline(simple(2), tmp_path / "cut.otioz")
    entry = zipfile.ZipInfo("media/link.mp4")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "cut.otioz", "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(TimelineError, match="leads out"):
        read_timeline(tmp_path / "cut.otioz")


def test_a_bundle_that_unpacks_to_too_much(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cut.otioz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("content.otio", b" " * 80_000_000)
    assert (tmp_path / "cut.otioz").stat().st_size < 100_000
    with pytest.raises(TimelineError, match="limit"):
        read_timeline(tmp_path / "cut.otioz")


def test_media_of_a_foreign_file_are_only_words(tmp_path: Path) -> None:
    """A timeline that names a secret does not get it into a bundle."""
    secret = tmp_path / "secret.txt"
    secret.write_text("key")
    media = tmp_path / "media"
    media.mkdir()
    (media / "film_sh0001_v001.mp4").write_bytes(b"frames")
    (media / "film_sh0002_v001.mp4").symlink_to(secret)
    write_timeline(simple(3), tmp_path / "cut.otio")
    text = (tmp_path / "cut.otio").read_text()
    text = text.replace("/renders/film_sh0000_v001.mp4", str(secret)).replace("/renders", str(media))
    (tmp_path / "cut.otio").write_text(text)
    found = read_timeline(tmp_path / "cut.otio")
    losses = write_timeline(found.edit, tmp_path / "out.otioz", media=media)
    with zipfile.ZipFile(tmp_path / "out.otioz") as archive:
        assert sorted(archive.namelist()) == ["content.otio", "media/film_sh0001_v001.mp4", "version.txt"]
    assert [loss.sentence for loss in losses] == [
        "media lie in the bundle, so that their paths change: 1",
        f"media are not in the bundle, as they are not in {media}: 2",
    ]
    event = read_timeline(tmp_path / "out.otioz").edit.events[1]
    assert event.media is not None
    assert event.media.path == "media/film_sh0001_v001.mp4"


def test_opentimelineio_reads_our_bundle(tmp_path: Path) -> None:
    import opentimelineio as otio

    (tmp_path / "film_sh0000_v001.mp4").write_bytes(b"frames")
    edit = simple(1)
    moved = json.loads(json.dumps(str(tmp_path / "film_sh0000_v001.mp4")))
    from dataclasses import replace

    event = replace(edit.events[0], media=replace(edit.events[0].media, path=moved))
    write_timeline(replace(edit, events=(event,)), tmp_path / "cut.otioz", media=tmp_path)
    timeline = otio.adapters.read_from_file(str(tmp_path / "cut.otioz"))
    assert timeline.tracks[0][0].media_reference.target_url == "media/film_sh0000_v001.mp4"
    assert timeline.global_start_time == otio.opentime.RationalTime(86400, 24)


@pytest.mark.parametrize(
    ("name", "match"),
    [("none.otio", "no such file"), ("folder.edl", "it is a folder"), ("cut.aaf", "no timeline ends in"),
     ("cut.fcpxmld", "Info.fcpxml"), ("none.otioz", "no such file")],
)  # fmt: skip
def test_files_that_are_none(name: str, match: str, tmp_path: Path) -> None:
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    with pytest.raises(TimelineError, match=match):
        read_timeline(tmp_path / name)


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(TimelineError, match="999"):
        write_timeline(simple(1001), tmp_path / "film.edl")
    assert list(tmp_path.iterdir()) == []


def test_strings_without_an_end_are_looked_at_once(tmp_path: Path) -> None:
    began = time.perf_counter()
    broken(tmp_path / "cut.otio", '{"a": "' + '\\"' * 2_000_000, "no JSON")
    assert time.perf_counter() - began < 20, "not once for each of its quotes"


@pytest.mark.parametrize("suffix", [".otio", ".xml", ".fcpxml"])
def test_names_of_megabytes_are_refused(suffix: str, tmp_path: Path) -> None:
    write_timeline(simple(2), tmp_path / f"cut{suffix}")
    text = (tmp_path / f"cut{suffix}").read_text().replace("sh0001", "x" + " copy" * 300_000)
    said = outcome(_put(tmp_path / f"cut{suffix}", text))
    if suffix == ".otio":  # names are cut there, as its other fields are
        assert said is None
    else:
        assert said is not None
        assert "letters, the limit is 1000" in said
