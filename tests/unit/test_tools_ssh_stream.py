"""A command's output as it is kept: beginning and end, the line that names its process cut out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import ssh_connection
from tools.ssh_connection import Stream


def filled(*chunks: bytes) -> Stream:
    stream = Stream()
    for chunk in chunks:
        stream.add(chunk)
    return stream


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_what_fits_is_kept_as_it_came(chunks: list[bytes]) -> None:
    stream = filled(*chunks)
    assert stream.text == b"".join(chunks).decode(errors="replace")
    assert stream.size == len(b"".join(chunks))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_of_more_the_beginning_and_the_end_are_kept_and_the_rest_is_counted(sizes: list[int]) -> None:
    whole = b"".join(bytes([65 + number % 26]) * size for number, size in enumerate(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssh_connection, "HEAD", 50)
        patch.setattr(ssh_connection, "TAIL", 20)
        position, chunks = 0, list[bytes]()
        for size in sizes:
            chunks.append(whole[position : position + size])
            position += size
        text = filled(*chunks).text
    if len(whole) <= 70:
        assert text == whole.decode()
    else:
        assert text.startswith(whole[:50].decode())
        assert text.endswith(whole[-20:].decode())
        assert f"{len(whole) - 70:,} of {len(whole):,} bytes left out" in text


def test_the_line_that_names_the_process_is_cut_out_once() -> None:
    stream = filled(b"welcome\nwatchbill:4711\n", b"error\nwatchbill:12\n")
    assert (stream.take_pid(), stream.take_pid()) == ("4711", "4711")
    assert stream.text == "welcome\nerror\nwatchbill:12\n"
    assert stream.size == len(stream.text)


@pytest.mark.parametrize(
    "line", [b"watchbill:1\n", b"watchbill:0\n", b"watchbill:-12\n", b"watchbill:12345678901\n", b"watchbill:12"]
)
def test_no_line_makes_us_signal_everything(line: bytes) -> None:
    assert filled(line).take_pid() == ""
