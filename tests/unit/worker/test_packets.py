"""Packets are read from ffprobe's answer as it comes, and what else it says stays whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from telecine_worker.ffmpeg.packets import PacketReader, PacketTimes

MOST = 10_000


def answer(packets: list[str]) -> str:
    """As ffprobe writes it, side data included."""
    lines = ",\n".join(f"        {packet}" for packet in packets)
    stream = '{ "index": 0, "codec_name": "h264", "tags": { "a": "    ]," } }'
    rest = f'    "streams": [\n        {stream}\n    ],\n    "format": {{ }}'
    return f'{{\n    "packets": [\n{lines}\n    ],\n{rest}\n}}\n'


def packet(stream: int, shown: int | None, decoded: int | None, rest: str = "") -> str:
    """One line, or several."""
    times = [f', "{name}": {value}' for name, value in (("pts", shown), ("dts", decoded)) if value is not None]
    return f'{{ "stream_index": {stream}{"".join(times)}{rest} }}'


def read(text: str, size: int = 7) -> tuple[dict[int, PacketTimes], dict[str, Any]]:
    """In pieces of *size* bytes."""
    reader = PacketReader(MOST)
    data = text.encode()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    return reader.streams, json.loads(reader.rest())


@given(st.integers(1, 200))
def test_packets_are_counted_by_stream(size):
    """However the answer is cut; what is not known of a packet is left out, side data is passed over."""
    side = ',\n            "side_data_list": [\n                { "side_data_type": "Skip Samples" }\n            ]\n        '
    packets = [
        packet(0, 0, -2),
        packet(1, -1024, -1024, side),
        packet(0, 4, -1),
        packet(2, None, None),
        packet(0, 2, 0),
    ]
    streams, rest = read(answer(packets), size)
    assert {0: 3, 1: 1, 2: 1} == {index: times.count for index, times in streams.items()}
    assert {(True, False)} == {(times.grows, times.repeats) for times in streams.values()}
    assert ([], "h264") == (rest["packets"], rest["streams"][0]["codec_name"])


def test_times_that_no_encoder_gives_are_found():
    """Decoding times that stand still or go back; two packets shown at once. Each stream for itself."""
    standing, _ = read(answer([packet(0, 0, 0), packet(0, 1, 0)]))
    back, _ = read(answer([packet(0, 0, 5), packet(0, 1, 4)]))
    twice, _ = read(answer([packet(0, 3, 0), packet(0, 1, 1), packet(0, 3, 2)]))
    apart, _ = read(answer([packet(0, 3, 0), packet(1, 3, 0)]))
    assert [(False, False), (False, False), (True, True), (True, False)] == [
        (streams[0].grows, streams[0].repeats) for streams in (standing, back, twice, apart)
    ]


def test_the_end_is_that_of_the_packet_that_is_shown_last():
    """Not of the one that is decoded last; nothing is known of packets without times."""
    lasting = ', "duration": 2'
    streams, _ = read(answer([packet(0, 0, 0, lasting), packet(0, 4, 1, lasting), packet(0, 2, 2, lasting)]))
    assert 6 == streams[0].end
    streams, _ = read(answer([packet(0, -3, None), packet(1, None, None, lasting)]))
    assert [-3, None] == [streams[0].end, streams[1].end]


def test_an_answer_without_packets_stays_whole():
    """As of a probe that did not ask for them."""
    assert ({}, {"format": {}}) == read('{\n    "format": { }\n}\n')


def test_what_is_kept_is_bounded():
    """Of packets nothing; of the rest as much as is allowed, with or without line ends."""
    reader = PacketReader(MOST)
    reader.feed(b'{\n    "packets": [\n')
    for number in range(10_000):
        reader.feed(f"        {packet(0, number, number)},\n".encode())
    assert len(reader.rest()) < 100
    for separator in (b"\n", b""):
        flooded = PacketReader(MOST)
        for _ in range(1000):
            flooded.feed(b"x" * 1000 + separator)
        assert MOST < len(flooded.rest()) <= 3 * MOST
