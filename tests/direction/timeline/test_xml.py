"""What stands in the two XML formats, held to rules of their documents in the test's own words; and foreign files.

The rules of FCPXML are those of Apple's document type for version 1.10, as far as our elements go: which children in
which order, which attributes must and may be there. Those of xmeml are its reference's.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from defusedxml import ElementTree

from direction.timeline.edits import RATES, full, simple
from filmwright.direction.timeline.edit import Join
from filmwright.direction.timeline.exchange import Imported, read_timeline, write_timeline
from filmwright.spec.errors import TimelineError
from filmwright.spec.timecode import parse_rate

ANCHORED = "(audio |video |clip |title |asset-clip |spine )*"
MARKERS = "(marker |chapter-marker )*"
RULES = {  # element: (children in order, attributes that must be, attributes that may be)
    "fcpxml": ("(resources )?library ", "version", ""),
    "resources": ("(asset |effect |format |media |locator )*", "", ""),
    "format": ("", "id", "name frameDuration width height colorSpace"),
    "asset": ("(media-rep )+(metadata )?", "id", "name uid start duration hasVideo format hasAudio videoSources audioSources audioChannels audioRate"),
    "media-rep": ("(bookmark )?", "src", "kind sig suggestedFilename"),
    "effect": ("", "id uid", "name src"),
    "library": ("(event |smart-collection )*", "", "location colorProcessing"),
    "event": ("(asset-clip |clip |project )*", "", "name uid"),
    "project": ("sequence ", "", "name uid id modDate"),
    "sequence": ("(note )?spine (metadata )?", "format", "duration tcStart tcFormat audioLayout audioRate renderFormat keywords"),
    "spine": ("(audio |video |clip |title |asset-clip |gap |transition )*", "", "lane offset name format"),
    "gap": (f"(note )?{ANCHORED}{MARKERS}(metadata )?", "duration", "name offset start enabled"),
    "asset-clip": (
        f"(note )?(conform-rate )?(timeMap )?(adjust-volume )?(adjust-panner )?{ANCHORED}{MARKERS}(metadata )?",
        "ref", "lane offset name start duration enabled srcEnable format tcStart tcFormat audioRole videoRole modDate",
    ),
    "title": (f"(param )*(text )*(text-style-def )*(note )?{ANCHORED}{MARKERS}", "ref duration", "lane offset name start enabled role"),
    "text": ("(text-style )*", "", "placement alignment"),
    "text-style-def": ("text-style ", "id", "name"),
    "text-style": ("(param )*", "", "ref font fontSize fontFace fontColor bold italic alignment"),
    "transition": (f"(filter-video )?(filter-audio )?{MARKERS}", "duration", "name offset"),
    "filter-video": ("(data )*(param )*", "ref", "name enabled"),
    "timeMap": ("(timept )*", "", "frameSampling preservesPitch"),
    "timept": ("", "time value", "interp inTime outTime"),
    "adjust-volume": ("(param )*", "", "amount"),
    "param": ("(fadeIn )?(fadeOut )?(keyframeAnimation )?(param )*", "name", "key value enabled"),
    "fadeIn": ("", "duration", "type"),
    "fadeOut": ("", "duration", "type"),
    "marker": ("", "start value", "duration completed note"),
    "note": ("", "", ""),
}  # fmt: skip


def seconds(text: str) -> Fraction:
    found = re.fullmatch(r"(-?\d+)(?:/(\d+))?s", text)
    assert found, text
    return Fraction(int(found[1]), int(found[2] or 1))


@pytest.mark.parametrize("fps", [*RATES, "16"])
def test_fcpxml_keeps_the_rules_of_its_document_type(fps: str, tmp_path: Path) -> None:
    path = tmp_path / "film.fcpxml"
    write_timeline(full(fps), path)
    root = ElementTree.fromstring(path.read_bytes(), forbid_dtd=False)
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(set(ids)) == len(ids)
    frame = 1 / parse_rate(fps).fps
    for node in root.iter():
        children, must, may = RULES[node.tag]
        assert re.fullmatch(children, "".join(f"{child.tag} " for child in node)), node.tag
        assert set(must.split()) <= set(node.attrib) <= set(must.split()) | set(may.split()), node.tag
        assert node.get("ref", ids[0]) in ids
        for name in ("offset", "duration", "start", "tcStart", "frameDuration"):
            if name in node.attrib:
                assert (seconds(node.attrib[name]) / frame).denominator == 1, (
                    f"{node.tag} {name} lies between two frames"
                )


def test_the_spine_has_no_holes_and_every_clip_its_media(tmp_path: Path) -> None:
    path = tmp_path / "film.fcpxml"
    edit = full("23.976")
    write_timeline(edit, path)
    root = ElementTree.fromstring(path.read_bytes(), forbid_dtd=False)
    sequence = root.find("library/event/project/sequence")
    frame = Fraction(1001, 24000)
    assert root.find("resources/format").get("frameDuration") == "1001/24000s"
    assert seconds(sequence.get("tcStart")) == Fraction(36036, 10), "one hour of timecode at 23.976"
    at = seconds(sequence.get("tcStart"))
    assets = {node.get("id"): node for node in root.iter("asset")}
    for node in sequence.find("spine"):
        offset, duration = seconds(node.get("offset")), seconds(node.get("duration"))
        if node.tag == "transition":
            assert offset <= at <= offset + duration, "a transition lies over the cut"
            continue
        assert offset == at
        at += duration
        if node.tag == "asset-clip":
            asset = assets[node.get("ref")]
            first, last = (
                seconds(asset.get("start")),
                seconds(asset.get("start")) + seconds(asset.get("duration")),
            )
            points = [(seconds(p.get("time")), seconds(p.get("value"))) for p in node.iter("timept")]
            begin, end = seconds(node.get("start")), seconds(node.get("start")) + duration
            if points:
                (t0, v0), (t1, v1) = points
                assert {v0, v1} == {first, last}, "the map covers the medium"
                begin, end = (v0 + (t - t0) * (v1 - v0) / (t1 - t0) for t in (begin, end))
            assert first <= min(begin, end) <= max(begin, end) <= last
    assert at - seconds(sequence.get("tcStart")) == edit.duration * frame


XMEML = {  # parent: children that its reference names, for ours
    "sequence": "name duration rate timecode media marker", "media": "video audio", "video": "format track samplecharacteristics",
    "track": "clipitem transitionitem generatoritem",
    "clipitem": "name enabled duration rate start end in out file filter marker comments sourcetrack",
    "transitionitem": "start end alignment rate effect", "file": "name pathurl rate duration timecode media",
    "rate": "timebase ntsc", "timecode": "rate string frame displayformat reel",
    "effect": "name effectid effectcategory effecttype mediatype parameter wipecode wipeaccuracy startratio endratio reverse",
    "parameter": "parameterid name valuemin valuemax value keyframe interpolation",
    "generatoritem": "name duration rate start end in out enabled alphatype effect",
}  # fmt: skip


@pytest.mark.parametrize("fps", RATES)
def test_xmeml_keeps_the_rules_of_its_reference(fps: str, tmp_path: Path) -> None:
    path = tmp_path / "film.xml"
    edit = full(fps)
    write_timeline(edit, path)
    root = ElementTree.fromstring(path.read_bytes(), forbid_dtd=False)
    assert (root.tag, root.get("version")) == ("xmeml", "5")
    for node in root.iter():
        if node.tag in XMEML:
            assert {child.tag for child in node} <= set(XMEML[node.tag].split()), node.tag
    ntsc = edit.rate.fps.denominator == 1001
    assert {(n.findtext("timebase"), n.findtext("ntsc")) for n in root.iter("rate")} == {
        (str(edit.rate.timebase), "TRUE" if ntsc else "FALSE")
    }
    sequence = root.find("sequence")
    assert sequence.findtext("timecode/string") == edit.at(0)
    track = root.find("sequence/media/video/track")
    described = [node.get("id") for node in root.iter("file") if len(node)]
    assert len(set(described)) == len(described)
    assert {node.get("id") for node in root.iter("file")} == set(described)
    items = list(track)
    for i, item in enumerate(items):
        if item.tag != "clipitem":
            assert int(item.findtext("end")) > int(item.findtext("start"))
            continue
        start, end = int(item.findtext("start")), int(item.findtext("end"))
        if start == -1:
            start = int(items[i - 1].findtext("start"))
        if end == -1:
            end = int(items[i + 1].findtext("end"))
        assert int(item.findtext("out")) - int(item.findtext("in")) == end - start
        assert 0 <= int(item.findtext("in")) < int(item.findtext("out")) <= int(item.findtext("duration"))


def test_levels_are_factors(tmp_path: Path) -> None:
    write_timeline(full(), tmp_path / "film.xml")
    root = ElementTree.fromstring((tmp_path / "film.xml").read_bytes(), forbid_dtd=False)
    levels = [
        float(p.findtext("value")) for p in root.iter("parameter") if p.findtext("parameterid") == "level"
    ]
    assert levels == pytest.approx([0.5012, 1.4962], abs=1e-4)


PREMIERE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE xmeml>
<xmeml version="4"><project><name>cut</name><children><sequence id="s">
<name>Cut 2</name><duration>150</duration><rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate>
<timecode><rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><string>01:00:00:00</string><frame>86400</frame>
<displayformat>NDF</displayformat></timecode>
<media><video><format><samplecharacteristics><width>1920</width><height>1080</height></samplecharacteristics></format>
<track>
<clipitem id="c1"><masterclipid>m1</masterclipid><name>film_sh010_v001.mp4</name><enabled>TRUE</enabled><duration>120</duration>
<rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><start>0</start><end>-1</end><in>12</in><out>72</out>
<pproTicksIn>127135008000</pproTicksIn><file id="f1"/></clipitem>
<transitionitem><start>48</start><end>60</end><alignment>center</alignment><cutPointTicks>63567504000</cutPointTicks>
<rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><effect><name>Film Dissolve</name><effectid>Film Dissolve</effectid>
<effectcategory>Dissolve</effectcategory><effecttype>transition</effecttype><mediatype>video</mediatype></effect></transitionitem>
<clipitem id="c2"><name>film_sh020_v002.mp4</name><enabled>TRUE</enabled><duration>60</duration>
<rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><start>-1</start><end>90</end><in>10</in><out>52</out>
<file id="f2"><name>film_sh020_v002.mp4</name><pathurl>file://localhost/C%3a/Users/me/film_sh020_v002.mp4</pathurl>
<rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><duration>120</duration></file>
<filter><effect><name>Time Remap</name><effectid>timeremap</effectid><parameter><parameterid>variablespeed</parameterid><value>0</value></parameter>
<parameter><parameterid>speed</parameterid><value>200</value></parameter><parameter><parameterid>reverse</parameterid><value>FALSE</value></parameter>
</effect></filter></clipitem>
<clipitem id="c3"><name>off</name><enabled>FALSE</enabled><rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><start>90</start><end>100</end><in>0</in><out>10</out></clipitem>
</track>
<track><clipitem id="c4"><name>above</name><enabled>TRUE</enabled><start>0</start><end>10</end><in>0</in><out>10</out></clipitem></track>
</video><audio><track><clipitem id="a1"><name>film_sh010_v001.mp4</name><enabled>TRUE</enabled><duration>120</duration>
<rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><start>0</start><end>60</end><in>12</in><out>72</out>
<file id="f1"><name>film_sh010_v001.mp4</name><pathurl>file://localhost/film/film_sh010_v001.mp4</pathurl>
<rate><timebase>24</timebase><ntsc>TRUE</ntsc></rate><duration>120</duration></file></clipitem></track></audio></media>
</sequence></children></project></xmeml>"""


def read(text: str, path: Path) -> Imported:
    path.write_text(text, encoding="utf-8")
    return read_timeline(path)


def test_a_file_as_premiere_writes_it(tmp_path: Path) -> None:
    found = read(PREMIERE, tmp_path / "cut.xml")
    first, second = found.edit.events
    assert found.edit.rate.fps == Fraction(24000, 1001)
    assert (first.start, first.duration, first.source_start) == (0, 60, 12)
    assert first.media is not None
    assert first.media.path == "/film/film_sh010_v001.mp4", "the file is described only later, in the sound"
    assert second.join == Join(frames=12, before=6)
    assert (second.start, second.duration, second.speed, second.source_start) == (48, 42, 2, 20)
    assert any("disabled" in note for note in found.notes)
    assert any("above the first" in note for note in found.notes)


RESOLVE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE fcpxml>
<fcpxml version="1.9"><resources>
<format id="r0" name="FFVideoFormat1080p2398" frameDuration="1001/24000s" width="1920" height="1080"/>
<asset id="r1" name="film_sh010_v001.mp4" start="0/1s" duration="5005/1000s" hasVideo="1" format="r0"><media-rep kind="original-media" src="file:///film/film_sh010_v001.mp4"/></asset>
<asset id="r2" name="music.wav" start="0/1s" duration="100/1s" hasAudio="1"><media-rep kind="original-media" src="file:///film/music.wav"/></asset>
</resources><library><event name="e"><project name="Timeline 1 (Resolve)">
<sequence tcStart="18018/5s" format="r0" tcFormat="NDF" duration="5005/1000s"><spine>
<asset-clip offset="18018/5s" name="film_sh010_v001.mp4" format="r0" tcFormat="NDF" start="1001/2000s" ref="r1" enabled="1" duration="1001/500s">
<marker start="1001/1000s" value="fix" duration="1001/24000s"/>
<asset-clip lane="-1" offset="1001/2000s" name="music.wav" ref="r2" duration="1001/500s"><adjust-volume amount="-3.5dB"/></asset-clip></asset-clip>
<gap name="Gap" offset="3605602/1000s" start="3600/1s" duration="1001/1000s"/>
<clip name="twice" offset="3606603/1000s" duration="1001/1000s" start="0s"><timeMap><timept time="0s" value="0s" interp="smooth2"/><timept time="5005/2000s" value="5005/1000s" interp="smooth2"/></timeMap><video ref="r1" offset="0s" duration="5005/1000s"/></clip>
<ref-clip name="compound" ref="r9" offset="3607604/1000s" duration="1001/1000s"/>
</spine></sequence></project></event></library></fcpxml>"""


def test_a_file_as_resolve_writes_it(tmp_path: Path) -> None:
    found = read(RESOLVE, tmp_path / "cut.fcpxml")
    first, second, third = found.edit.events
    assert found.edit.start == 86400
    assert (first.start, first.duration, first.source_start) == (0, 48, 12)
    assert [(m.at, m.name, m.duration) for m in first.markers] == [(12, "fix", 0)]
    assert (second.start, second.duration, second.source_start, second.speed) == (72, 24, 0, 2)
    assert second.media is not None
    assert second.media.file_name == "film_sh010_v001.mp4"
    assert third.name == "compound"
    assert any("ref-clip" in note for note in found.notes)
    (sound,) = found.edit.sounds
    assert (sound.start, sound.duration, sound.gain) == (0, 48, -3.5)


def test_times_between_frames_are_rounded_and_said(tmp_path: Path) -> None:
    found = read(RESOLVE.replace('start="1001/2000s"', 'start="1/2s"'), tmp_path / "cut.fcpxml")
    assert found.edit.events[0].source_start == 12
    assert any("rounded" in note for note in found.notes)


@pytest.mark.parametrize("speed", ["0", "nan", "1e999", "x"])
def test_speeds_that_are_none(speed: str, tmp_path: Path) -> None:
    text = PREMIERE.replace("<value>200</value>", f"<value>{speed}</value>")
    if speed == "0":
        assert any("stand still" in note for note in read(text, tmp_path / "cut.xml").notes)
        return
    with pytest.raises(TimelineError, match=r"cut\.xml:\d+:\d+: <value>"):
        read(text, tmp_path / "cut.xml")


def test_a_longer_timeline_is_written_once_for_each_medium(tmp_path: Path) -> None:
    write_timeline(simple(20), tmp_path / "film.fcpxml")
    root = ElementTree.fromstring((tmp_path / "film.fcpxml").read_bytes(), forbid_dtd=False)
    assert len(list(root.iter("asset"))) == 20
    assert len(list(root.iter("effect"))) == 1
