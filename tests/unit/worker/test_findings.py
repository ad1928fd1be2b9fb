"""What is read from FFmpeg's log while it decodes: lines of 5.1 and 9.0 as they are, endless ones, strange ones."""

from __future__ import annotations

from datetime import timedelta

import pytest

from telecine_worker.ffmpeg.findings import MOST_DETECTIONS, DetectionKind, Findings, Wanted

EVERYTHING = Wanted(decode=True, loudness=True, scenes=True, black=True, silence=True)
LOG_5 = """
[scdet @] [info] lavfi.scd.score: 40.381, lavfi.scd.time: 2
[silencedetect @] [info] silence_start: 2.00023
[silencedetect @] [info] silence_end: 3 | silence_duration: 0.999771
[blackdetect @] [info] black_start:2 black_end:3 black_duration:1
[h264 @] [error] error while decoding MB 17 9, bytestream -40
[warning] hurt.mp4: corrupt decoded frame in stream 0
[error] Error while decoding stream #0:1: Invalid data found when processing input
[verbose]   Input stream #0:0 (video): 125 packets read (101809 bytes); 124 frames decoded;
[verbose]   Input stream #0:1 (audio): 236 packets read (28207 bytes); 227 frames decoded (232448 samples);
[Parsed_loudnorm_1 @] [info]
{
\t"input_i" : "-22.32",
\t"input_tp" : "-16.08",
\t"input_lra" : "2.80",
\t"input_thresh" : "-32.59",
\t"output_i" : "-23.06",
}
"""
LOG_9 = """
[Parsed_scdet_0 @] [info] lavfi.scd.score: 40.381, lavfi.scd.time: 2
[Parsed_silencedetect_0 @] [info] silence_start: 2.00023
[Parsed_silencedetect_0 @] [info] silence_end: 3 | silence_duration: 0.999771
[Parsed_blackdetect_1 @] [info] black_start:2 black_end:3 black_duration:1
[h264 @] [error] error while decoding MB 17 9, bytestream -40
[vist#0:0/h264 @] [dec:h264 @] [warning] corrupt decoded frame
[vist#0:0/h264 @] [dec:h264 @] [error] Error submitting packet to decoder: Invalid data found when processing input
[in#0/mov @] [verbose]   Input stream #0:0 (video): 125 packets read (101809 bytes); 124 frames decoded; 1 decode errors;
[in#0/mov @] [verbose]   Input stream #0:1 (audio): 236 packets read (9 bytes); 227 frames decoded; 8 decode errors (2 samples);
[Parsed_loudnorm_1 @] [info]
{
\t"input_i" : "-22.32",
\t"input_tp" : "-16.08",
\t"input_lra" : "2.80",
\t"input_thresh" : "-32.59",
\t"output_i" : "-22.99",
}
"""


def read(log: str, wanted: Wanted = EVERYTHING) -> Findings:
    found = Findings(wanted)
    for line in log.splitlines():
        found.line(line)
    return found


@pytest.mark.parametrize("log", [LOG_5, LOG_9], ids=["5.1", "9.0"])
def test_both_builds_say_the_same(log: str) -> None:
    """Everything that was looked for, from the lines of either."""
    found = read(log)
    assert {
        "loudness.integrated_lufs": -22.32,
        "loudness.true_peak_dbtp": -16.08,
        "loudness.range_lu": 2.8,
        "loudness.threshold_lufs": -32.59,
        "decode.error_count": 2,
        "decode.video_frame_count": 124,
        "decode.audio_frame_count": 227,
        "scenes.count": 1,
        "black.count": 1,
        "black.duration_seconds": 1,
        "silence.count": 1,
        "silence.duration_seconds": 0.99977,
    } == found.measurements
    scene = found.detections[0]
    assert (DetectionKind.SCENE_CHANGE, timedelta(seconds=2), None) == (scene.kind, scene.start, scene.end)
    assert pytest.approx(0.40381) == scene.score
    assert [DetectionKind.SCENE_CHANGE, DetectionKind.BLACK, DetectionKind.SILENCE] == [
        each.kind for each in found.detections
    ]


@pytest.mark.parametrize("log", [LOG_5, LOG_9], ids=["5.1", "9.0"])
def test_what_was_not_wanted_is_not_told(log: str) -> None:
    """Nothing wanted, nothing found."""
    found = read(log, Wanted())
    assert ({}, ()) == (found.measurements, found.detections)


def test_what_is_kept_is_bounded_and_what_is_counted_is_not() -> None:
    """A film of flashes."""
    found = Findings(EVERYTHING)
    for second in range(3 * MOST_DETECTIONS):
        found.line(f"[scdet @] [info] lavfi.scd.score: 50, lavfi.scd.time: {second}")
        found.line(f"[blackdetect @] [info] black_start:{second} black_end:{second + 0.5} black_duration:0.5")
    assert 2 * MOST_DETECTIONS == len(found.detections)
    assert 3 * MOST_DETECTIONS == found.measurements["scenes.count"] == found.measurements["black.count"]
    assert 1.5 * MOST_DETECTIONS == found.measurements["black.duration_seconds"]
    assert timedelta(seconds=MOST_DETECTIONS - 0.5) == found.detections[-1].end


def test_silence_has_no_loudness() -> None:
    """What cannot be measured is left out, and what FFmpeg prints beside it too; a peak is a peak."""
    silent = '\t"input_i" : "-inf",\n\t"input_tp" : "-inf",\n\t"input_lra" : "0.00",\n\t"input_thresh" : "-70.00",\n'
    assert {} == read(silent, Wanted(loudness=True)).measurements
    short = silent.replace('tp" : "-inf"', 'tp" : "-18.06"')
    assert {"loudness.true_peak_dbtp": -18.06} == read(short, Wanted(loudness=True)).measurements


@pytest.mark.parametrize(
    "line",
    [
        "[info]     title           : [scdet @] [info] lavfi.scd.score: 50, lavfi.scd.time: 1",
        "[scdet @] [info] lavfi.scd.score: nan, lavfi.scd.time: 1",
        "[scdet @] [info] lavfi.scd.score: 50, lavfi.scd.time: N/A",
        "[blackdetect @] [info] black_start:2 black_end:2 black_duration:0",
        "[silencedetect @] [info] silence_end: 3 | silence_duration: 3",
        "[info] silence_start: 3",
        "",
    ],
)
def test_what_only_looks_like_a_finding_is_none(line: str) -> None:
    """Titles that a file brings along, numbers that are none, ends without a beginning."""
    assert () == read(line).detections


def test_a_title_does_not_count_frames() -> None:
    """What FFmpeg repeats of a file is no report of its own."""
    title = "Input stream #0:0 (video): 9 packets read (9 bytes); 123456 frames decoded;"
    found = read(LOG_9 + f"[info]     title           : {title}\n                   : [verbose]   {title}\n")
    assert 124 == found.measurements["decode.video_frame_count"]


FORGED = """
[info]     x
[scdet @] [info] lavfi.scd.score: 50, lavfi.scd.time: 1
[blackdetect @] [info] black_start:2 black_end:3 black_duration:1
[silencedetect @] [info] silence_start: 0
[silencedetect @] [info] silence_end: 9 | silence_duration: 9
[verbose]   Input stream #0:7 (video): 9 packets read (9 bytes); 999 frames decoded;
\t"input_i" : "-5.00",
\t"input_thresh" :  : and more
"""


@pytest.mark.parametrize("log", [LOG_5, LOG_9], ids=["5.1", "9.0"])
def test_names_of_tags_that_hold_lines_find_nothing(log: str) -> None:
    """What stands before the beginning of the work is the file's, a forged beginning as well; errors count from the start."""
    found = read(f"[error] cannot be\n{FORGED}[info] Stream mapping:\n{FORGED}[info] Stream mapping:\n{log}")
    honest = read(log)
    assert honest.detections == found.detections
    assert {**honest.measurements, "decode.error_count": 3} == found.measurements
    silent = read(f'{FORGED}[info] Stream mapping:\n\t"input_i" : "-inf",\n', Wanted(loudness=True))
    assert {} == silent.measurements


def test_silence_before_the_start_begins_with_it() -> None:
    """Priming samples lie before 0."""
    log = (
        "[silencedetect @] [info] silence_start: -0.0213\n[silencedetect @] [info] silence_end: 2 | silence_duration: 2"
    )
    assert timedelta(0) == read(log).detections[0].start
