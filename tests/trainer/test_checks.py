"""What the checks give to answers, what they refuse, and how a package adds its own."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strop.errors import BadTrainingFile, Missing, TrainingFailed, UsageError
from strop.trainer import checks, rowfile

BOOK = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
LOCAL = {"$defs": {"year": {"type": "integer", "minimum": 1000}}, "type": "array", "items": {"$ref": "#/$defs/year"}}
EXPONENTIAL = "^(a|aa)+$"
WriteRows = Callable[..., Path]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No check of another test is remembered."""
    checks.load.cache_clear()
    yield
    checks.load.cache_clear()


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ("Lisbon", "Lisbon", 1.0),
        ("  LISBON\n", "Lisbon", 1.0),
        ("Let me think.\nIt is in Portugal.\nlisbon \n", "Lisbon", 1.0),
        ("two\nlines", "two\nlines", 1.0),
        ("Straße", "STRASSE", 1.0),
        ("It is Lisbon", "Lisbon", 0.0),
        ("Lisbon\nor Porto", "Lisbon", 0.0),
        ("", "Lisbon", 0.0),
        ("8", 8, 1.0),
        ("2 + 6 = 8.", 8, 1.0),
        ("8 or 9", 8, 0.0),
        ("It costs $1,234.50", 1234.5, 1.0),
        ("−3", -3, 1.0),
        ("eight", 8, 0.0),
        ("", 8, 0.0),
    ],
)
def test_exact(answer: str, expected: object, value: float) -> None:
    assert checks.score("exact", answer, expected) == value


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ("Born in 1912.", r"\b\d{4}\b", 1.0),
        ("Born long ago.", r"\b\d{4}\b", 0.0),
        ("Dear madam", "^(?i:dear) (sir|madam)$", 1.0),
        ("", "x", 0.0),
    ],
)
def test_regex(answer: str, expected: object, value: float) -> None:
    assert checks.score("regex", answer, expected) == value


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ('{"title": "Dune"}', BOOK, 1.0),
        (' {"title": "Dune", "year": 1965}\n', BOOK, 1.0),
        ('```json\n{"title": "Dune"}\n```', BOOK, 1.0),
        ('```\n{"title": "Dune"}\n```\n', BOOK, 1.0),
        ('Here it is: {"title": "Dune"}', BOOK, 0.0),
        ('{"title": 7}', BOOK, 0.0),
        ('{"title": "Dune"', BOOK, 0.0),
        ("", BOOK, 0.0),
        ("[1965, 1969]", LOCAL, 1.0),
        ("[1965, 19]", LOCAL, 0.0),
        ("NaN", {"type": "number"}, 0.0),
        ("9" * 5000, {"type": "number"}, 0.0),
        ("[" * 100_000, {"type": "array"}, 0.0),
        ('"ab1"', {"type": "string", "pattern": "^[a-z]+1$"}, 1.0),
        ('"AB1"', {"type": "string", "pattern": "^[a-z]+1$"}, 0.0),
        ("7", {"pattern": "^x"}, 1.0),  # a pattern says nothing about what is no text
        ("[1, 2]", {"prefixItems": [{"type": "string"}]}, 0.0),  # new in Draft 2020-12
        ("1", True, 1.0),
    ],
)
def test_schema(answer: str, expected: object, value: float) -> None:
    assert checks.score("schema", answer, expected) == value


@pytest.mark.parametrize(
    ("words", "expected", "value"),
    [
        (3, {"max_words": 3}, 1.0),
        (4, {"max_words": 3}, 0.75),
        (30, {"max_words": 3}, 0.1),
        (0, {"max_words": 3}, 0.0),
        (1, {"max_words": 3}, 1.0),
        (5, {"min_words": 10}, 0.5),
        (10, {"min_words": 10}, 1.0),
        (99, {"min_words": 10}, 1.0),
        (5, {"min_words": 10, "max_words": 20}, 0.5),
        (15, {"min_words": 10, "max_words": 20}, 1.0),
        (40, {"min_words": 10, "max_words": 20}, 0.5),
    ],
)
def test_length(words: int, expected: object, value: float) -> None:
    assert checks.score("length", "word " * words, expected) == pytest.approx(value)


@pytest.mark.parametrize(
    ("check", "expected", "what"),
    [
        ("exact", None, "a text or a number"),
        ("exact", True, "a text or a number"),
        ("exact", ["Lisbon"], "a text or a number"),
        ("exact", " ", "the text is empty"),
        ("regex", 8, "a pattern is a string"),
        ("regex", "(b", r"'\(b' is no pattern \(missing \)"),
        ("schema", {"type": "objekt"}, "this is no JSON schema: 'objekt'"),
        ("schema", "string", "this is no JSON schema"),
        ("schema", {"pattern": "(b"}, "this is no JSON schema"),
        ("schema", {"properties": {"a": {"patternProperties": {"(a+)+$": {}}}}}, "cannot be bounded in time"),
        ("schema", {"$ref": "#/$defs/absent"}, "refers to '/\\$defs/absent', which is not inside it"),
        ("length", {}, "are whole numbers above 0"),
        ("length", 30, "are whole numbers above 0"),
        ("length", {"words": 3}, "are whole numbers above 0"),
        ("length", {"max_words": 0}, "are whole numbers above 0"),
        ("length", {"max_words": True}, "are whole numbers above 0"),
        ("length", {"max_words": 3, "min_words": 4}, "min_words is above max_words"),
    ],
)
def test_what_a_check_cannot_use_is_found_when_the_file_is_read(
    write_rows: WriteRows, check: str, expected: object, what: str
) -> None:
    good = {"prompt": "What?", "check": "exact", "expected": "That."}
    file = write_rows([good, {"prompt": "What?", "check": check, "expected": expected}])
    with pytest.raises(
        BadTrainingFile, match=f"^rows.jsonl line 2, column 'expected' cannot be used: .*{what}"
    ) as error:
        rowfile.read(file)
    assert error.value.hint == f"expected: what the check {check!r} takes"


def test_an_unknown_check_lists_the_known_ones(write_rows: WriteRows) -> None:
    file = write_rows([{"prompt": "What?", "check": "exakt", "expected": "That."}])
    with pytest.raises(BadTrainingFile, match="line 1, column 'check' .*there is no check 'exakt'") as error:
        rowfile.read(file)
    assert error.value.hint == "expected: one of exact, length, regex, schema"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"prompt": "a", "check": "exact"}, "column 'expected' is missing beside 'prompt'"),
        ({"check": "exact", "expected": "a"}, "column 'prompt' is missing beside 'check'"),
        ({"prompt": "a", "check": 7, "expected": "a"}, "column 'check' is a number"),
        ({"prompt": "", "check": "exact", "expected": "a"}, "column 'prompt' is empty"),
    ],
)
def test_a_task_with_a_fault_names_line_and_column(write_rows: WriteRows, row: object, what: str) -> None:
    with pytest.raises(BadTrainingFile, match=f"^rows.jsonl line 1, {what}"):
        rowfile.read(write_rows([row]))


def test_a_row_with_an_answer_stays_a_row_to_copy_whatever_else_it_holds(write_rows: WriteRows) -> None:
    row = {"prompt": "What?", "completion": "That.", "check": "mine", "expected": 7}
    assert rowfile.read(write_rows([row])).kind == "completion"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"a": {"items": {"$ref": "other.json"}}}},
        {"$id": "http://127.0.0.1:9/a", "$ref": "b"},
        {"$dynamicRef": "http://127.0.0.1:9/schema.json#x"},
    ],
)
def test_a_schema_elsewhere_is_refused_and_never_asked_for(
    write_rows: WriteRows, monkeypatch: pytest.MonkeyPatch, schema: object
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    with pytest.raises(BadTrainingFile, match="column 'expected' .*which is not inside it"):
        rowfile.read(write_rows([{"prompt": "What?", "check": "schema", "expected": schema}]))


@pytest.mark.parametrize(
    ("check", "answer", "expected"),
    [("regex", "a" * 60 + "b", EXPONENTIAL), ("schema", json.dumps("a" * 60 + "b"), {"pattern": EXPONENTIAL})],
)
def test_a_pattern_that_would_never_be_done_is_stopped_and_named(
    monkeypatch: pytest.MonkeyPatch, check: str, answer: str, expected: object
) -> None:
    monkeypatch.setattr(checks, "_PATTERN_S", 0.05)
    with pytest.raises(TrainingFailed, match=r"the pattern '\^\(a\|aa\)\+\$' takes more than") as error:
        checks.score(check, answer, expected)
    assert "repeats inside repeats" in error.value.hint


# Checks of other packages

POLITE = '''
def polite(answer, expected):
    """A share of the words that are asked for."""
    return sum(word in answer.lower() for word in expected) / len(expected)

def generous(answer, expected):
    return 7
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a package of the user's: a module and its dist-info on the path, as pip would leave them."""

    def make(source: str = POLITE, name: str = "manners", **entries: str) -> Path:
        site = tmp_path / f"site-{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "".join(f"{check} = {place}\n" for check, place in entries.items())
        (info / "entry_points.txt").write_text(f"[{checks.GROUP}]\n{lines}")
        monkeypatch.syspath_prepend(str(site))
        return site

    return make


def test_a_package_adds_a_check(package: Callable[..., Path], write_rows: WriteRows) -> None:
    package(polite="manners:polite")
    assert checks.known() == ("exact", "length", "polite", "regex", "schema")
    file = rowfile.read(write_rows([{"prompt": "Ask.", "check": "polite", "expected": ["please", "thank"]}]))
    assert (file.kind, file.rows[0].check, file.rows[0].expected) == ("task", "polite", ["please", "thank"])
    assert checks.score("polite", "Please go.", ["please", "thank"]) == 0.5


def test_what_a_packages_check_cannot_use_names_its_line(package: Callable[..., Path], write_rows: WriteRows) -> None:
    package(polite="manners:polite")
    with pytest.raises(BadTrainingFile, match="line 1, column 'expected' .*'polite' fails: ZeroDivisionError"):
        rowfile.read(write_rows([{"prompt": "Ask.", "check": "polite", "expected": []}]))


def test_a_reward_outside_0_to_1_is_refused(package: Callable[..., Path]) -> None:
    package(generous="manners:generous")
    with pytest.raises(TrainingFailed, match="the check 'generous' gave 7.0"):
        checks.score("generous", "Yes.", None)


@pytest.mark.parametrize(
    ("source", "place", "said"),
    [
        ("import no_such_module", "manners:polite", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("", "manners:polite", "AttributeError"),
        ("1 / 0", "manners:polite", "ZeroDivisionError"),
    ],
)
def test_a_broken_entry_point_is_named(package: Callable[..., Path], source: str, place: str, said: str) -> None:
    package(source, "broken", polite=place.replace("manners", "broken"))
    sys.modules.pop("broken", None)
    with pytest.raises(Missing, match=rf"the check 'polite' of broken \(broken:polite\) cannot be loaded: {said}"):
        checks.score("polite", "", None)


def test_two_packages_with_one_name_are_both_named(package: Callable[..., Path]) -> None:
    package(exact="manners:polite")
    with pytest.raises(UsageError, match=r"more than one package has a check 'exact': .*manners \(manners:polite\)"):
        checks.load("exact")


def test_the_check_that_lacks_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    checks._validator.cache_clear()
    with pytest.raises(Missing, match="the check 'schema' needs jsonschema") as error:
        checks.score("schema", "{}", {"minimum": 3})
    assert error.value.hint == "pip install 'strop[all]'"


def test_reading_other_files_loads_no_check_and_none_of_their_packages(write_rows: WriteRows) -> None:
    file = write_rows([{"prompt": "What?", "completion": "That."}])
    code = (
        "import sys; from pathlib import Path; from strop.trainer import rowfile; rowfile.read(Path(sys.argv[1])); "
        "print([name for name in ('jsonschema', 'regex', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
