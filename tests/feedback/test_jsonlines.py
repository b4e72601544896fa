import pytest

from strop.errors import BadRecord, UsageError
from strop.feedback import jsonlines


def test_a_bad_line_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "LIMIT_LINE_BYTES", 300_000)
    path = tmp_path / "a.jsonl"
    lines = [
        b"\xef\xbb\xbf" + b'{"a": 1}',
        b"",
        b"not json",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"[1]",
        b'{"long": "' + b"x" * 700_000 + b'"}',
        b'{"a": 2}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = list(jsonlines.records(path))
    assert [(number, record) for number, record in found if isinstance(record, dict)] == [(1, {"a": 1}), (10, {"a": 2})]
    assert [number for number, record in found if isinstance(record, BadRecord)] == [3, 4, 5, 6, 7, 8, 9]


def test_the_strict_reader_refuses_the_file_at_a_line_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "LIMIT_LINE_BYTES", 1 << 20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" + b" " * (2 << 20) + b"\n{}\n")
    with pytest.raises(BadRecord, match="line 2: longer than 1 MiB"):
        list(jsonlines.lines(path))


def test_a_line_that_is_still_being_written_is_left_for_the_next_time(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": ')
    assert list(jsonlines.records(path)) == [(1, {"a": 1})]
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    assert list(jsonlines.records(path)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_a_path_that_cannot_be_read_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        list(jsonlines.records(tmp_path / "none.jsonl"))
