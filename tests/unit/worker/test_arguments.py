"""Raw arguments: what the allow-list passes, and that it refuses everything known to read, write, listen or blow up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import arguments, filtergraph
from telecine_worker.ffmpeg.filters import FILTERS
from telecine_worker.ffmpeg.options import OUTPUT_OPTIONS


def parse(*tokens: str, outputs: tuple[str, ...] = ("out.mp4",)) -> arguments.Arguments:
    """Check *tokens*."""
    return arguments.parse(tokens, outputs)


GOOD = [
    ["-c:v", "libx264", "-crf", "23", "-preset", "veryfast", "-c:a", "aac", "-b:a", "128k"],
    ["-vf", "scale=640:-2", "-an"],
    ["-vf", "scale=w='min(854,iw)':h=-2:flags=bicubic,setsar=1,format=yuv420p", "-fps_mode", "cfr", "-r", "30000/1001"],
    ["-map", "0:v:0", "-map", "0:a?", "-c", "copy", "-movflags", "+faststart"],
    ["-filter:v", "crop=iw-20:ih-20:10:10,pad=640:360:(ow-iw)/2:(oh-ih)/2:black", "-b:v", "1.5M", "-maxrate", "2M"],
    ["-af", "loudnorm=I=-16:TP=-1.5:LRA=11,aresample=48000", "-ar", "48000", "-ac", "2"],
    ["-vf", "yadif,hqdn3d=4:3:6:4.5,unsharp=5:5:0.8,eq=contrast=1.1:saturation=1.2", "-g", "60", "-bf", "2"],
    ["-vf", "trim=start=1:end=2,setpts=PTS-STARTPTS", "-af", "atrim=start=1:end=2,asetpts=PTS-STARTPTS"],
    ["-vf", "fps=25,transpose=1,hflip,fade=t=in:st=0:d=1", "-af", "afade=t=out:st=3:d=1,volume=0.5,atempo=1.5"],
    ["-c:v:0", "libx265", "-tag:v", "hvc1", "-pix_fmt", "yuv420p10le", "-profile:v", "main10", "-t", "00:01:30.5"],
    ["-s", "1280x720", "-aspect", "16:9", "-q:v", "3", "-frames:v", "10", "-shortest"],
    ["-c:a", "libopus", "-vn", "-sn", "-dn", "-ss", "1.5"],
    ["-vf", "scale='trunc(iw/4)*2':'trunc(ih/4)*2'"],
    ["-c", "copy", "-c:v", "libx264", "-c:v:1", "mpeg4", "-q:v", "3", "-q:a", "4", "-b:a", "64k", "-b:a:1", "96k"],
    ["-vf", "setpts=20*PTS", "-af", "atempo=0.5,atempo=0.5,atempo=0.5,atempo=0.5,atempo=0.8"],
    ["-vf", "setpts=N/12/TB,setpts=0.05*PTS,setpts=PTS*20"],
]


@pytest.mark.parametrize("options", GOOD)
def test_what_people_write_passes(options):
    """Real arguments come through, in their order."""
    parsed = parse("-ss", "1", "-i", "main", *options, "out.mp4")
    assert (arguments.InputArguments(name="main", options=(("-ss", "1"),)),) == parsed.inputs
    assert "out.mp4" == parsed.outputs[0].path


# The numbers are those of the attack list in the reference, section 5.9.
BAD = {
    "9 lavfi": ["-f", "lavfi"],
    "10 drawtext": ["-vf", "drawtext=textfile=/etc/passwd"],
    **{
        f"11 {name}": ["-vf", name]
        for name in (
            "movie=/etc/passwd",
            "movie=/x[m];[in][m]overlay",
            "subtitles=/x",
            "ass=/x",
            "lut3d=/x",
            "lut1d=file=/x",
            "haldclut",
            "sendcmd=f=/x",
            "removelogo=/x",
            "frei0r=filter_name=x",
            "zmq",
            "ocr=datapath=/x",
            "dnn_processing=model=/x",
            "libplacebo=custom_shader_path=/x",
            "find_rect=object=/x",
            "libvmaf=log_path=/x",
        )
    },
    **{
        f"11 {name}": ["-af", name]
        for name in ("ladspa=file=/x", "lv2=p", "amovie=/x", "asendcmd=f=/x", "arnndn=m=/x", "sofalizer=/x", "azmq")
    },
    **{
        f"12 {name}": ["-vf", name]
        for name in (
            "metadata=mode=print:file=/p",
            "ssim=stats_file=/p",
            "psnr=stats_file=/p",
            "curves=plot=/p",
            "curves=psfile=/p",
            "signature=filename=/p",
            "vidstabdetect=result=/p",
            "paletteuse=debug_kdtree=/p",
            "scale=640:-2:param0=/p",
            "eq=eval=frame",
            "geq=lum='p(X,Y)'",
        )
    },
    **{
        f"12 {name}": ["-af", name]
        for name in ("loudnorm=stats_file=/p", "firequalizer=dumpfile=/p", "ametadata=file=/p")
    },
    "13 x264-params": ["-x264-params", "dump-yuv=/p"],
    "13 x264opts": ["-x264opts", "stats=/p"],
    "13 x265-params": ["-x265-params", "csv=/p"],
    "13 svtav1-params": ["-svtav1-params", "stat_file=/p"],
    "13 aom-params": ["-aom-params", "x=1"],
    "14 -/vf": ["-/vf", "/etc/passwd"],
    "14 -/filter:v": ["-/filter:v", "/x"],
    "14 filter_script": ["-filter_script:v", "/x"],
    "14 filter_complex": ["-filter_complex", "[0:v]null"],
    "14 filter_complex_script": ["-filter_complex_script", "/x"],
    "14 lavfi": ["-lavfi", "color"],
    **{f"14 {name}": [name, "/x"] for name in ("-fpre", "-vpre", "-apre", "-spre", "-pre")},
    "15 dump_attachment": ["-dump_attachment:t", "x"],
    "16 tee": ["-f", "tee"],
    "16 hls": ["-f", "hls", "-hls_segment_filename", "/p"],
    "16 segment list": ["-segment_list", "/p"],
    "16 init": ["-init_seg_name", "../p"],
    "17 bare token": ["evil.mp4"],
    "17 url": ["http://127.0.0.1:1/exfil"],
    "17 pipe": ["-"],
    "17 pipe protocol": ["pipe:1"],
    "17 progress": ["-progress", "http://127.0.0.1/x"],
    "17 attach": ["-attach", "/etc/passwd"],
    "18 report": ["-report"],
    "19 scale": ["-vf", "scale=30000:30000"],
    "19 scale area": ["-vf", "scale=8192:8192"],
    "19 size": ["-s", "16000x16000"],
    "19 rate": ["-r", "1000000"],
    "19 rate fraction": ["-r", "100000/1"],
    "19 zero rate": ["-r", "30/0"],
    "19 fps": ["-vf", "fps=1e9"],
    "19 stream_loop": ["-stream_loop", "-1"],
    "19 loop": ["-vf", "loop=-1:1"],
    "19 tpad": ["-vf", "tpad=stop=-1"],
    "19 tile": ["-vf", "tile=100x100"],
    "19 minterpolate": ["-vf", "minterpolate=fps=240"],
    "19 setpts": ["-vf", "setpts=1000*PTS"],
    "19 setpts twice": ["-vf", "setpts=5*PTS,null,setpts=PTS/0.2"],
    "19 setpts spaced": ["-vf", "setpts=N/0.001/TB"],
    "19 setpts spaced and slowed": ["-vf", "setpts=N/12/TB,setpts=2*PTS"],
    "19 asetpts by samples": ["-af", "asetpts=N/30/TB"],
    "19 atempo": ["-af", ",".join(["atempo=0.5"] * 5)],
    "19 scale by two names": ["-vf", "scale=w=8192:width=8192:h=8192"],
    "19 scale by a size and a side": ["-vf", "scale=s=640x360:h=8192"],
    "19 scale by a width": ["-vf", "scale=w=640"],
    "19 arguments of expressions": ["-vf", "scale='iw,8':-2"],
    "19 setpts expression": ["-vf", "setpts=PTS+100000/TB"],
    "19 endless expression": ["-vf", "scale='while(1,0)':-2"],
    "19 printing expression": ["-vf", "scale='print(iw)':-2"],
    "19 random expression": ["-vf", "scale='random(0)*iw':-2"],
    "19 stateful expression": ["-vf", "crop='st(0,1)':10"],
    "19 deep expression": ["-vf", f"scale='{'(' * 20}iw{')' * 20}':-2"],
    "19 unbalanced expression": ["-vf", "scale='iw)(':-2"],
    "19 many filters": ["-vf", ",".join(["null"] * 17)],
    "19 threads": ["-threads", "999"],
    "19 channels": ["-ac", "100"],
    "19 time": ["-t", "9999999"],
    "y": ["-y"],
    "n": ["-n"],
    "map input": ["-map", "7:v"],
    "map label": ["-map", "[out]"],
    "map data": ["-map", "0:d"],
    "map_metadata": ["-map_metadata", "0"],
    "metadata": ["-metadata", "title=x"],
    "pass": ["-pass", "1"],
    "passlogfile": ["-passlogfile", "/p"],
    "stats": ["-vstats_file", "/p"],
    "sdp": ["-sdp_file", "/p"],
    "hwaccel": ["-hwaccel", "auto"],
    "device": ["-init_hw_device", "vaapi=x:/p"],
    "whitelist": ["-protocol_whitelist", "http"],
    "format whitelist": ["-format_whitelist", "hls"],
    "loglevel": ["-loglevel", "trace"],
    "max_alloc": ["-max_alloc", "1"],
    "bsf": ["-bsf:v", "x"],
    "unknown codec": ["-c:v", "rawvideo"],
    "codec of a group": ["-c:d", "copy"],
    "group by metadata": ["-c:m:x", "copy"],
    "negative crf": ["-crf", "-1"],
    "expression as number": ["-crf", "1e1"],
    "space": ["-crf", " 23"],
    "twice": ["-crf", "20", "-crf", "21"],
    "fade twice": ["-vf", "fade=t=in:type=out"],
    "no value": ["-crf"],
    "semicolon": ["-vf", "null;null"],
    "label": ["-vf", "[0:v]null"],
    "backslash": ["-vf", "scale=640\\:-2"],
    "dollar": ["-vf", "scale=$x"],
    "open quote": ["-vf", "scale='640:-2"],
    "inner quote": ["-vf", "scale=6'4'0:-2"],
    "two graphs": ["-vf", "null", "-filter:v", "null", "-vf", "null"],
    "audio filter on video": ["-vf", "volume=2"],
    "video filter on audio": ["-af", "scale=2:2"],
    "an empty filter": ["-vf", "null,,null"],
    "an empty graph": ["-vf", ""],
    "new line": ["-vf", "null\n"],
    "input place": ["{in:main}"],
    "input place in a filter": ["-vf", "subtitles={in:main}"],
    "file in place of option": ["-i", "main"],
}


@pytest.mark.parametrize("options", BAD.values(), ids=BAD.keys())
def test_everything_else_is_refused(options):
    """For good, with reason, by position and token."""
    with pytest.raises(AttemptFailed) as error:
        parse("-i", "main", "out.png", *options, "out.mp4", outputs=("out.mp4", "out.png"))
    failure = error.value.failure
    assert (FailureKind.PERMANENT, "ARGUMENT_NOT_ALLOWED") == (failure.kind, failure.reason)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["-i", "main", "-evil", "x", "out.mp4"], "args[2] '-evil' is refused: this option is not on the allow-list"),
        (["-i", "main", "-crf", "99", "out.mp4"], "args[3] '99' is refused: as the value of -crf, right would be"),
        (["-f", "mp4", "-i", "main", "out.mp4"], "args[0] '-f'"),
        (["-c:v", "libx264", "-i", "main", "out.mp4"], "args[0] '-c:v' is refused: before -i only -ss, -t and -to"),
        (["-an", "-i", "main", "out.mp4"], "args[0] '-an'"),
        (["-i", "main", "out.mp4", "-an"], "args[3] '-an' is refused: no output file follows"),
        (["-i", "main", "-vf", "drawtext=x", "out.mp4"], "filter 'drawtext' is not on the allow-list"),
        (["-i", "main", "-vf", "scale=evil=1", "out.mp4"], "option 'evil' is not on the allow-list"),
        (["-i", "main", "x" * 500, "out.mp4"], "args[2] '" + "x" * 80 + "...'"),
        (["-i", "main"], "output 'out.mp4' is declared but args does not write it"),
        (["out.mp4"], "args[0] 'out.mp4' is refused: an output stands before the first -i"),
        (["-i", "main", "out.mp4", "out.mp4"], "args[3] 'out.mp4' is refused: this output is written already"),
        (["-i"], "args[0] '-i' is refused: -i needs a value"),
        (["-an"] * 101, "args has 101 tokens; at most 100"),
        (["-i", "main", "-map", "1:v", "out.mp4"], "there is no input 1"),
        (["-i", "main", "-vf", "fade=t=in:type=in", "out.mp4"], "'type' sets the same as 't'; leave one out"),
        (
            ["-i", "main", "-vf", "setpts=5*PTS,setpts=5*PTS", "out.mp4"],
            "it makes the result 25 times as long as the input; at most 20",
        ),
    ],
)
def test_a_refusal_names_what_and_where(tokens, message):
    """Token, position, and what would be right."""
    with pytest.raises(AttemptFailed) as error:
        parse(*tokens)
    assert message in error.value.failure.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("-vf", "null"), ("-filter:v", "hflip")), (("-af", "anull"), ("-filter:a", "anull")),
        (("-c:v", "copy"), ("-vcodec", "mpeg4")), (("-codec:v", "copy"), ("-c:v", "mpeg4")),
        (("-c", "copy"), ("-codec", "copy")), (("-acodec", "aac"), ("-codec:a", "flac")),
        (("-scodec", "srt"), ("-c:s", "srt")), (("-t", "1"), ("-to", "2")),
        (("-b", "1M"), ("-b:v", "2M")), (("-qscale", "3"), ("-q:v", "4")), (("-qscale:a", "3"), ("-q:a", "4")),
        (("-profile", "main"), ("-profile:v", "high")), (("-vframes", "1"), ("-frames:v", "2")),
        (("-deadline", "good"), ("-quality", "best")), (("-r", "5"), ("-r:v", "6")), (("-s", "64x64"), ("-s:v", "32x32")),
        (("-ac", "1"), ("-ac:a", "2")), (("-crf", "20"), ("-crf:v", "30")),
    ],
)  # fmt: skip
def test_an_option_is_given_once_whatever_it_is_called(one, other):
    """Both spellings are in the refusal, and where the first one stands."""
    for first, second in ((one, other), (other, one)):
        with pytest.raises(AttemptFailed) as error:
            parse("-i", "main", *first, "-an", *second, "out.mp4")
        said = f"args[5] {second[0]!r} is refused: {first[0]} in args[2] sets the same"
        assert said in error.value.failure.message
    with pytest.raises(AttemptFailed, match=r"args\[2\] '-to' is refused: -t in args\[0\] sets the same"):
        parse("-t", "1", "-to", "2", "-i", "main", "out.mp4")


def test_graphs_are_written_anew():
    """FFmpeg reads what was checked: every option named, every expression quoted, every size bounded."""
    graph = "scale=iw*2:-2,crop='min(iw,100)':50,pad=w=640:h=360:x=(ow-iw)/2"
    parts = filtergraph.checked(graph, "video").split(",crop=")
    assert "w='min(iw,100)':h=50,pad=w=640:h=360:x='(ow-iw)/2'" == parts[1]
    assert parts[0].startswith("scale=w='if(isnan(oh),iw*2,if(between(st(0,trunc(iw*2)),-16,8192)*")
    assert parts[0].endswith("*lte(ld(1)*ld(2),35000000),ld(0),0/0))':h=-2")


@pytest.mark.parametrize(
    ("graph", "written"),
    [
        ("scale=640:360", "scale=w=640:h=360"),
        ("scale=size=640x360:flags=area", "scale=w=640:h=360:flags=area"),
        ("scale=640:-2", "scale=w=640:h='if(lte(640*ih/iw,8192),-2,0/0)'"),
        ("scale=height=7000:w=-1", "scale=w='if(lte(7000*iw/ih,5000),-1,0/0)':h=7000"),
        ("scale=out_range=tv", "scale=out_range=tv"),
        ("pad=width=640:height=360", "pad=w=640:h=360"),
    ],
)
def test_sizes_that_are_told_stay_as_they_are(graph, written):
    """What follows from the other side keeps its own words, with the most that it may come to."""
    assert written == filtergraph.checked(graph, "video")


def test_no_filter_of_the_table_can_name_a_file():
    """No check of any option passes a path, a URL or a format string."""
    for name, each in FILTERS.items():
        for option, check in each.options.items():
            for value in ("/etc/passwd", "file.txt", "http://h/x", "%d.png", "../secret", "a b", ""):
                assert check(value) is not None, (name, option, value)


def test_no_option_of_the_table_can_name_a_file():
    """The same for the options of outputs."""
    for name, option in OUTPUT_OPTIONS.items():
        for value in ("/etc/passwd", "file.txt", "http://h/x", "%d.png", "../x", "-", ""):
            assert option.check(value) is not None, (name, value)


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
PIECES = st.sampled_from([*"',=:[];\\ ()", "scale", "iw", "w", "640", "-2", "null", "volume", "min(", "'", "fps=30"])


@given(st.one_of(TEXT, st.lists(PIECES, max_size=20).map("".join)))
def test_what_passes_passes_again_unchanged_in_meaning(graph):
    """Whatever a graph looks like: it is refused, or written in characters that cannot break out of their place."""
    try:
        written = filtergraph.checked(graph, "video")
    except filtergraph.GraphError:
        return
    assert not set(written) & set('\\"`$[];\n')
    assert written.count("'") % 2 == 0
    names = [part.partition("=")[0] for part in filtergraph._split(written, ",")]
    assert set(names) <= set(FILTERS)


@given(
    st.lists(st.one_of(TEXT, st.sampled_from(["-i", "main", "-c:v", "copy", "-vf", "null", "out.mp4"])), max_size=12)
)
def test_no_token_is_left_unchecked(tokens):
    """Whatever comes: it is refused as an attempt's failure, or every option is one of the table's."""
    try:
        parsed = parse(*tokens)
    except AttemptFailed:
        return
    for output in parsed.outputs:
        for option, _ in output.options:
            assert option in ("-map", "-vf") or option.partition(":")[0] in OUTPUT_OPTIONS
