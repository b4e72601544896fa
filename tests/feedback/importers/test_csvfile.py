import csv
from datetime import UTC, datetime

import pytest

from strop.errors import BadRecord
from strop.feedback import Ledger
from strop.feedback.cursors import Cursors
from strop.feedback.importers import base
from strop.feedback.importers.csvfile import Csv


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="in.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_text


def only(path, owners=("owner",)):
    (batch,) = Csv(owners).read(path, {})
    return batch.turns


def test_a_row_is_an_answer_with_what_somebody_said_about_it(write):
    path = write(
        "prompt,answer,rating,correction,note,user,session,turn,domain,model,time,source_key,system\r\n"
        '"What is ""LoRA""?","A radio\nprotocol.",down,Small matrices.,wrong one,'
        "ann,s,2,ml,m,2026-01-31T09:30,k,Be brief.\r\n"
    )
    (turn,) = only(path, ["ann"])
    asked = turn.interaction
    assert [one.content for one in asked.messages] == ["Be brief.", 'What is "LoRA"?']
    assert asked.answer == "A radio\nprotocol."
    assert (asked.user, asked.session, asked.turn, asked.domain, asked.model) == ("ann", "s", 2, "ml", "m")
    assert asked.time == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    rating, correction = turn.reactions
    assert (rating.kind, rating.value, rating.text, rating.trust) == ("thumb", -1.0, "wrong one", "owner")
    assert (correction.kind, correction.text) == ("correction", "Small matrices.")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_separators_other_names_and_a_byte_order_mark(write, sign):
    header = sign.join(["ID", "Question", "Response", "Expected", "Comment"])
    (turn,) = only(write(f"\ufeff{header}\n" + sign.join(["1", "p", "a", "b", "n"]) + "\n"))
    assert (turn.interaction.prompt, turn.interaction.answer) == ("p", "a")
    assert [(one.kind, one.text) for one in turn.reactions] == [("note", "n"), ("correction", "b")]


@pytest.mark.parametrize(
    ("rating", "value"),
    [
        *[("up", 1), ("Down", -1), ("TRUE", 1), ("false", -1), ("+1", 1), ("-1", -1), ("👍", 1), ("👎🏿", -1)],
        *[("2", -0.5), ("5", 1), ("4.0", 0.5), ("1/5", -1), ("3", 0), ("0", None), ("", None), (" ", None)],
    ],
)
def test_ratings_in_all_their_spellings(write, rating, value):
    (turn,) = only(write(f"prompt,answer,rating\np,a,{rating}\n"))
    assert [one.value for one in turn.reactions] == ([] if value is None else [value])


def test_a_lone_one_is_read_by_the_rest_of_the_file_or_refused(write):
    def values(*ratings):
        rows = [f"p{at},a,{rating}" for at, rating in enumerate(ratings)]
        return [one.value for turn in only(write("prompt,answer,rating\n" + "\n".join(rows))) for one in turn.reactions]

    assert values("1", "-1") == [1.0, -1.0]
    assert values("1", "4") == [-1.0, 0.5]
    with pytest.raises(BadRecord, match="line 3: rating: 1 can mean one star or a thumb up"):
        values("up", "1")
    with pytest.raises(BadRecord, match="-1 and 4 in one file, thumbs and stars .nothing of the file was stored"):
        values("-1", "4")


def test_a_correction_that_repeats_the_answer_says_nothing(write):
    (turn,) = only(write("prompt,answer,expected\np,Paris,Paris \n"))
    assert turn.reactions == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("prompt,answer,promt\np,a,x\n", "line 1: promt: unknown"),
        ("prompt,answer,\np,a,x\n", "line 1: a column without a name: unknown"),
        ("prompt,rating\np,up\n", "line 1: answer: there is no such column"),
        ("id,source_key,prompt,answer\n1,2,p,a\n", "line 1: source_key: source_key stands there twice"),
        ("prompt,answer,rating\np,a,up\n\np,a,seven\n", "line 4: rating: 'seven' is not a rating"),
        ("question,answer\n ,a\n", "line 2: column question: prompt: it is empty"),
        ("prompt,output\np,\n", "line 2: column output: answer: it is empty"),
        ("prompt,answer\np,a,extra\n", "line 2: 3 cells, where the first line names 2"),
        ('prompt,answer\np,"a\nb"\np\n', "line 4: 1 cells"),
        ('prompt,answer\np,a\np,"open\nend\n', "line 3: unexpected end of data"),
        ('prompt,answer\np,"a"b\n', "line 2: ',' expected"),
        ("prompt,answer\np,a\0b\n", "line 2: .*NUL"),
        ("prompt,answer,turn\np,a,-1\n", "line 2: turn: '-1'"),
        ("prompt,answer,turn\np,a,99999999999999999999\n", "line 2: turn: "),
        ("prompt,answer,time\np,a,31.1.2026\n", "line 2: time: '31.1.2026'"),
        ("prompt,answer,time\np,a,0001-01-01T00:00+14:00\n", "line 2: time: .* out of range"),
        (b"prompt,answer\np,a\np,\xe9\n", "line 3: byte 21 of the file is not UTF-8"),
        ("prompt,answer\np,a\n".encode("utf-16"), "line 1: byte 1 of the file is not UTF-8"),
        ("prompt,answer,user\np,a," + "u" * 2000, "line 2: user: 2,000 characters"),
    ],
)
def test_a_bad_file_names_line_and_column_and_nothing_is_stored(ledger, write, text, said):
    with pytest.raises(BadRecord, match=said):
        base.run(Csv(), ledger, write(text))
    assert ledger.counts()["interactions"] == 0
    assert Cursors(ledger, "csv") == {}


def test_an_unknown_column_is_named_with_the_nearest_known_one(write):
    with pytest.raises(BadRecord) as caught:
        only(write("prompt,answer,corection\np,a,b\n"))
    assert caught.value.hint == "did you mean correction?"


def test_twice_is_once_wherever_the_rows_stand(ledger, write):
    rows = ["p1,a,up,1", "p2,a,down,1", "p1,a,up,2"]
    done = base.run(Csv(), ledger, write("\n".join(["prompt,answer,rating,id", *rows])))
    assert (done.added, done.signals) == (3, 3)
    done = base.run(Csv(), ledger, write("\n".join(["prompt,answer,rating,id", *reversed(rows)]), "copy.csv"))
    assert (done.added, done.known, done.signals) == (0, 3, 0)
    done = base.run(Csv(), ledger, write("prompt,answer,rating,id\np1,a,down,1\n"))
    assert (done.added, done.signals) == (1, 1)
    assert ledger.counts()["interactions"] == 2


def test_long_cells_are_read_and_the_limit_of_csv_is_put_back(write):
    before = csv.field_size_limit()
    long = "x" * (1 << 20)
    (turn,) = only(write(f"prompt,answer\n<|im_start|>,{long}\n"))
    assert turn.interaction.answer == long
    with pytest.raises(BadRecord, match="line 2: .*bytes of text"):
        only(write("prompt,answer\np," + "x" * (9 << 20)))
    assert csv.field_size_limit() == before


def test_trust_goes_by_the_user(write):
    turns = only(write("prompt,answer,rating,user\np,a,up,\np,b,up,bob\n"))
    assert [turn.reactions[0].trust for turn in turns] == ["owner", "known"]


def test_it_finds_tables_of_answers_and_nothing_else(tmp_path, write):
    assert Csv().finds(write('\ufeff"Prompt";"Answer"\n'))
    assert Csv().finds(write("question\toutput\n", "a.tsv"))
    assert not Csv().finds(write("name,price\n"))
    assert not Csv().finds(write("prompt,answer\n", "a.json"))
    assert not Csv().finds(write(b"\xff\xfe\0"))
    assert not Csv().finds(tmp_path)
