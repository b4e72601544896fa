import random
import string
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.errors import UsageError
from strop.feedback import scrub as engine
from strop.feedback.scrub import Scrubber
from strop.feedback.scrub_patterns import PATTERNS, TRIGGERS

HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
SCRUBBER = Scrubber()


def made_up(length, alphabet=ALNUM, seed=7):
    """Random characters. No key stands in this file, lest a scanner of secrets takes it for a live one."""
    return "".join(random.Random(seed).choices(alphabet, k=length))


def scrub(text, scrubber=SCRUBBER):
    return scrubber.scrub([text]).texts[0]


PEM = "-----BEGIN {0}-----\n" + "\n".join(made_up(64, seed=line) for line in range(4))
JWT = f"eyJ{made_up(30)}.eyJ{made_up(40)}.{made_up(43)}"

# For every line of the table: a text, and what must become of it with that line alone.
CASES = {
    "private-key": (PEM.format("EC PRIVATE KEY") + "\n-----END EC PRIVATE KEY-----\nrest", "<PRIVATE_KEY_1>\nrest"),
    "jwt": (f"see {JWT}, it expired", "see <JWT_1>, it expired"),
    "anthropic": ("sk-ant-" + f"api03-{made_up(95)} is mine", "<API_KEY_1> is mine"),
    "openai": ("use " + "sk-" + f"proj-{made_up(60)}.", "use <API_KEY_1>."),
    "aws": ("AKIA" + made_up(16, string.ascii_uppercase) + " there", "<API_KEY_1> there"),
    "google-api": ("?key=" + "AIza" + made_up(35), "?key=<API_KEY_1>"),
    "google-oauth": ("GOCSPX-" + made_up(28), "<API_KEY_1>"),
    "azure-client": (made_up(3) + "8Q~" + made_up(34), "<API_KEY_1>"),
    "azure-storage": (f"SharedAccessKey={made_up(43)}=;X=1", "SharedAccessKey=<API_KEY_1>;X=1"),
    "azure-account": (f"AccountName=x;AccountKey={made_up(86)}==;X=1", "AccountName=x;AccountKey=<API_KEY_1>;X=1"),
    "azure-sas": (f"https://x.example/c?sv=2022&sig={made_up(43)}%3D&se=1", "https://x.example/c?sv=2022&sig=<API_KEY_1>&se=1"),
    "huggingface": ("hf_" + made_up(34), "<API_KEY_1>"),
    "github": ("'" + "ghp_" + made_up(36) + "'", "'<API_KEY_1>'"),
    "gitlab": ("glpat-" + made_up(20), "<API_KEY_1>"),
    "slack": ("xoxb-" + f"123456789012-{made_up(24)}", "<API_KEY_1>"),
    "slack-webhook": (
        f"https://hooks.slack.com/services/T{made_up(8)}/B{made_up(8)}/{made_up(24)} posts",
        "https://hooks.slack.com/services/<API_KEY_1> posts",
    ),
    "discord-webhook": (
        f"https://discord.com/api/webhooks/{made_up(18, string.digits)}/{made_up(68)}",
        f"https://discord.com/api/webhooks/{made_up(18, string.digits)}/<API_KEY_1>",
    ),
    "discord": (f"M{made_up(25)}.{made_up(6)}.{made_up(38)}", "<API_KEY_1>"),
    "telegram": (f"1234567890:AA{made_up(33)}", "<API_KEY_1>"),
    "stripe": ("sk_" + f"live_{made_up(24)}", "<API_KEY_1>"),
    "twilio": ("SK" + made_up(32, HEX), "<API_KEY_1>"),
    "sendgrid": ("SG." + f"{made_up(22)}.{made_up(43)}", "<API_KEY_1>"),
    "mailgun": ("key-" + made_up(32, HEX), "<API_KEY_1>"),
    "mailchimp": (made_up(32, HEX) + "-us14", "<API_KEY_1>"),
    "npm": ("npm_" + made_up(36), "<API_KEY_1>"),
    "pypi": ("pypi-" + made_up(120), "<API_KEY_1>"),
    "registries": ("dckr_" + f"pat_{made_up(27)}", "<API_KEY_1>"),
    "models": ("gsk_" + made_up(52), "<API_KEY_1>"),
    "clouds": ("dop_" + f"v1_{made_up(64, HEX)}", "<API_KEY_1>"),
    "shops": ("shpat_" + made_up(32, HEX), "<API_KEY_1>"),
    "work-tools": ("lin_" + f"api_{made_up(40)}", "<API_KEY_1>"),
    "operations": ("hvs." + made_up(90), "<API_KEY_1>"),
    "url-password": ("postgres://app:s3cr3t@db.example/x", "postgres://app:<PASSWORD_1>@db.example/x"),
    "url-token": (f"git clone https://{made_up(30)}@git.example/x", "git clone https://<SECRET_1>@git.example/x"),
    "curl-user": ("curl -u kim:s3cr3t https://x.example", "curl -u kim:<PASSWORD_1> https://x.example"),
    "authorization": (f"Authorization: Basic {made_up(24)}", "Authorization: Basic <SECRET_1>"),
    "bearer": (f"send Bearer {made_up(32)}", "send Bearer <SECRET_1>"),
    "token-assigned": (f'{{"client_secret": "{made_up(24)}"}}', '{"client_secret": "<SECRET_1>"}'),
    "token-flag": (f"deploy --api-key {made_up(24)} now", "deploy --api-key <SECRET_1> now"),
    "password-assigned": ("DB_PASSWORD='a b c!9 d'", "DB_PASSWORD='<PASSWORD_1>'"),
    "password-flag": ("mysql --password Hunter22 -h x", "mysql --password <PASSWORD_1> -h x"),
    "password-said": ("비밀번호는 kim8866! 입니다", "비밀번호는 <PASSWORD_1> 입니다"),
    "email": ("메일은hong.gil-dong+x@mail.naver.com으로", "메일은<EMAIL_1>으로"),
    "email-spelled": ("write to kim [at] example [dot] com, please", "write to <EMAIL_1>, please"),
    "iban": ("to GB29 NWBK 6016 1331 9268 19 today", "to <IBAN_1> today"),
    "card": ("4111-1111-1111-1111 exp 12/27", "<CARD_1> exp 12/27"),
    "ipv4": ("http://203.0.113.7:8080/x", "http://<IP_1>:8080/x"),
    "ipv6": ("http://[2001:db8::1]:80/ and ::ffff:203.0.113.7", "http://[<IP_1>]:80/ and <IP_2>"),
    "phone-international": ("(+82) 10-1234-5678, 0044 20 7946 0958", "<PHONE_1>, <PHONE_2>"),
    "phone-trunk": ("010-1234-5678입니다, (030) 901820", "<PHONE_1>입니다, <PHONE_2>"),
    "phone-shaped": ("(415) 555-2671 ext. 12, 415.555.2672", "<PHONE_1>, <PHONE_2>"),
    "phone-labelled": ("call me at 4155552671!", "call me at <PHONE_1>!"),
    "kr-rrn": ("900101-1234567", "<KR_RRN_1>"),  # no valid check digit, as since October 2020
    "kr-rrn-bare": ("9001011012340", "<KR_RRN_1>"),
    "kr-rrn-named": ("주민등록번호는 9001011234567", "주민등록번호는 <KR_RRN_1>"),
    "us-ssn": ("536-90-4399", "<US_SSN_1>"),
    "us-ssn-named": ("my SSN is 536904399", "my SSN is <US_SSN_1>"),
    "us-itin": ("912-90-3456", "<US_ITIN_1>"),
    "uk-nino": ("AB 12 34 56 C", "<UK_NINO_1>"),
    "uk-nhs": ("NHS number 943 476 5870", "NHS number <UK_NHS_1>"),
    "fr-nir": ("2 95 10 99 126 111 93", "<FR_NIR_1>"),
    "de-idnr": ("Steuer-ID: 36 574 261 809", "Steuer-ID: <DE_TAX_ID_1>"),
    "es-dni": ("54362315-K and X-2482300W", "<ES_DNI_1> and <ES_DNI_2>"),
    "it-cf": ("RCCMNL83S18D969H", "<IT_CF_1>"),
    "br-cpf": ("390.533.447-05", "<BR_CPF_1>"),
    "br-cpf-named": ("CPF 39053344705", "CPF <BR_CPF_1>"),
    "cn-id": ("360426199101010071", "<CN_ID_1>"),
    "in-aadhaar": ("2341 2341 2346", "<IN_AADHAAR_1>"),
    "in-aadhaar-named": ("Aadhaar: 234123412346", "Aadhaar: <IN_AADHAAR_1>"),
    "in-pan": ("ACUPA7085R", "<IN_PAN_1>"),
    "ca-sin": ("SIN 123-456-782", "SIN <CA_SIN_1>"),
    "nl-bsn": ("BSN: 111222333", "BSN: <NL_BSN_1>"),
    "pl-pesel": ("PESEL 44051401359", "PESEL <PL_PESEL_1>"),
    "se-pnr": ("880320-0016", "<SE_PNR_1>"),
    "dk-cpr": ("CPR-nr. 211062-5629", "CPR-nr. <DK_CPR_1>"),
    "fi-hetu": ("131052-308T", "<FI_HETU_1>"),
    "fi-hetu-letter": ("131052A308T", "<FI_HETU_1>"),
    "no-fnr": ("151086 95088", "<NO_FNR_1>"),
    "ch-ahv": ("756.9217.0769.85", "<CH_AHV_1>"),
    "be-nn": ("85.07.30-033.28", "<BE_NN_1>"),
    "cz-rc": ("710319/2745", "<CZ_RC_1>"),
    "mx-curp": ("BOXW310820HNERXN09", "<MX_CURP_1>"),
    "tr-tckn": ("T.C. kimlik no: 17291716060", "T.C. kimlik no: <TR_TCKN_1>"),
    "jp-my-number": ("マイナンバーは 6214 9832 0257", "マイナンバーは <JP_MY_NUMBER_1>"),
    "au-tfn": ("TFN 123 456 782", "TFN <AU_TFN_1>"),
    "za-id": ("ID number: 7503305044089", "ID number: <ZA_ID_1>"),
}  # fmt: skip


def test_every_line_of_the_table_has_a_case():
    names = [pattern.name for pattern in PATTERNS]
    assert sorted(CASES) == sorted(names)
    assert all(pattern.trigger in TRIGGERS and pattern.covers for pattern in PATTERNS)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_each_line_finds_its_case_by_itself(pattern, monkeypatch):
    text, expected = CASES[pattern.name]
    monkeypatch.setattr(engine, "FAMILIES", {pattern.trigger: (pattern,)})
    assert scrub(text) == expected


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_the_whole_table_hides_each_case_and_then_finds_nothing(text, expected):
    once = scrub(text)
    assert "<" in once
    assert scrub(once) == once


STAY = [
    "v1.2.3.4, version 1.2.3.4, Chrome/124.0.0.0, upgrade to 10.0.0.1, pkg==1.2.3.4, section 1.2.3.4",
    "127.0.0.1 0.0.0.0 255.255.255.0 ::1 :: [::1]:80",
    "std::vector, dead::beef, x[1::2], 10:30:45, 00:1b:44:11:3a:b7",
    "550e8400-e29b-41d4-a716-446655440000 9fceb02d0ae598e95dc970b74767f19372d6186a d41d8cd98f00b204e9800998ecf8427e",
    "2024-03-15 10:42:07, 2024-03-15T10:42:07.123456+09:00, 15.03.2024 10:30, 03/15/2024, 20240315104207",
    "$12,499.00, €1.299.000,00, 1 234 567 890, 9,800원, 0.12345678901, 6.02214076e23",
    "ISBN 0306406152, 978-3-16-148410-0, ISSN 0317-8471, CAS 02370-57-5, doi:10.1000/182, order 0612345678",
    "1700000000 1700000000000 1700000000000000 4294967295 18446744073709551615",
    "4111 1111 1111 1112, 1234-5678-9012-3456, DE89 3704 0044 0532 0130 01, 06745-8357, 123-45-67890",
    "git@github.com:o/r.git ssh://git@github.com/o/r icon@2x.png @types/node@20.1.0 user@host @app.route",
    "https://user:$TOKEN@host/x https://u:***@h/ http://localhost:8080/a@b postgres://db.example:5432/app",
    "OPENAI_API_KEY=sk-... sk-your-api-key-here-please ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx password=********",
    "password = os.environ['DB_PASS']; token = tokenizer.encode(text); max_tokens=4096; api_key=self.api_key",
    "The password is required. The password is SHA-256 hashed. 비밀번호는 필수 항목입니다. Authorization: required",
    "01 02 03 04 05 06 07 08, 52 23 00 76 44 40 08 74 97 65 09 99, [1, 20, 300, 4000, 50000]",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "Kim Minji, 221B Baker Street, London",
]


@pytest.mark.parametrize("text", STAY)
def test_look_alikes_stay(text):
    assert scrub(text) == text


def test_equal_values_get_one_placeholder_in_prompt_and_answer():
    texts = ["Mail A@x.com and b@x.com, card 4111 1111 1111 1111", "a@x.com? 4111-1111-1111-1111? b@x.com!"]
    scrubbed = SCRUBBER.scrub(texts)
    assert scrubbed.texts == ("Mail <EMAIL_1> and <EMAIL_2>, card <CARD_1>", "<EMAIL_1>? <CARD_1>? <EMAIL_2>!")
    assert scrubbed.found == {"CARD": 2, "EMAIL": 4}


def test_rows_know_nothing_of_each_other():
    assert [scrub("a@x.com"), scrub("b@x.com")] == ["<EMAIL_1>", "<EMAIL_1>"]


def test_new_numbers_go_on_after_those_in_the_row():
    assert SCRUBBER.scrub(["a@x.com", "old: <EMAIL_7>, <EMAIL_2>"]).texts == ("<EMAIL_8>", "old: <EMAIL_7>, <EMAIL_2>")


def test_a_value_given_away_once_is_hidden_in_the_whole_row():
    texts = ["password=Hunter22x and SSN 536904399", "Is Hunter22x safe? Who has 536904399? Hunter22xy stays."]
    assert SCRUBBER.scrub(texts).texts[1] == "Is <PASSWORD_1> safe? Who has <US_SSN_1>? Hunter22xy stays."


def test_common_words_are_not_hidden_in_the_whole_row():
    assert scrub("postgres://u:postgres@h/x uses postgres") == "postgres://u:<PASSWORD_1>@h/x uses postgres"


def test_overlapping_finds_go_as_one():
    assert scrub("01012345678@naver.com") == "<EMAIL_1>"
    assert scrub(f"Authorization: Bearer {JWT}") == "Authorization: Bearer <JWT_1>"
    assert scrub("postgres://kim:p@ss!w@db.example.com/x") == "postgres://kim:<PASSWORD_1>@db.example.com/x"


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK", "PRIVATE KEY"])
def test_a_private_key_cut_off_before_its_end_goes_as_far_as_it_reaches(kind):
    text = PEM.format(kind)
    assert scrub(f"{text}\nabc=\n\nWhat is wrong with it?") == "<PRIVATE_KEY_1>\n\nWhat is wrong with it?"
    assert scrub(text.replace("\n", "\\n") + "\\n") == "<PRIVATE_KEY_1>\\n"


def test_typographic_forms_count_as_plain_ones():
    assert (
        scrub("０１０－１２３４－５６７８, 010–1234–5678, 010\u00a01234\u00a05678") == "<PHONE_1>, <PHONE_1>, <PHONE_1>"
    )
    assert scrub("ｋｉｍ＠ｎａｖｅｒ．ｃｏｍ ٤١١١ ١١١١ ١١١١ ١١١١") == "<EMAIL_1> <CARD_1>"


def test_invisible_characters_are_looked_through_and_kept_elsewhere():
    assert scrub("\u200ba\u200d \u202a010\u200b-1234-\u20605678\u202c b") == "\u200ba\u200d \u202a<PHONE_1>\u202c b"


def test_international_addresses():
    assert (
        scrub("jürgen@müller.de анна@почта.рф 用户@例子.中国 x@xn--mller-kva.de")
        == "<EMAIL_1> <EMAIL_2> <EMAIL_3> <EMAIL_4>"
    )


def test_phone_regions_are_chosen():
    number = "09-123 4567"
    assert scrub(number, Scrubber(phone_regions=["US"])) == number
    assert scrub(number, Scrubber(phone_regions=["NZ", "FI"])) == "<PHONE_1>"
    with pytest.raises(UsageError, match="'UK' is unknown") as raised:
        Scrubber(phone_regions=["UK"])
    assert "GB" in raised.value.hint


def test_own_patterns_win_and_may_name_a_part():
    scrubber = Scrubber({"STUDENT": r"\bS\d{8}\b", "ROOM": r"Raum (?P<value>\d+)", "KR_PHONE": r"010-\d{4}-\d{4}"})
    scrubbed = scrubber.scrub(["S20241234 in Raum 17, 010-1234-5678", "S20241234, S99, 학번Ｓ２０２４９９９９"])
    assert scrubbed.texts == ("<STUDENT_1> in Raum <ROOM_1>, <KR_PHONE_1>", "<STUDENT_1>, S99, 학번Ｓ２０２４９９９９")
    assert scrubber.scrub(scrubbed.texts).texts == scrubbed.texts


def test_own_patterns_leave_placeholders_alone():
    scrubber = Scrubber({"NUMBER": r"\d+", "TAG": r"<[a-zA-Z_0-9]+>"})
    once = scrubber.scrub(["kim@x.com <b> 12 <EMAIL_3>"]).texts
    assert once == ("<EMAIL_4> <TAG_1> <NUMBER_1> <EMAIL_3>",)
    assert scrubber.scrub(once).texts == once


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"X": "("}, "no regular expression"),
        ({"X": "a{99999999999999999999}"}, "no regular expression"),
        ({"X": "a*"}, "matches the empty text"),
        ({"X": r"\b"}, "matches the empty text"),
        ({"X": "(?=a)"}, "matches the empty text"),
        ({"X": 5}, "no regular expression"),
        ({"student": "S1"}, "not a name"),
        ({"": "S1"}, "not a name"),
        ({"A-B": "S1"}, "not a name"),
        ({"A" * 32: "S1"}, "not a name"),
    ],
)
def test_bad_own_patterns_are_refused_with_a_hint(own, says):
    with pytest.raises(UsageError, match=says) as raised:
        Scrubber(own)
    assert raised.value.hint


def test_nothing_to_scrub():
    assert SCRUBBER.scrub([]).texts == ()
    assert SCRUBBER.scrub(["", "Hello."]).texts == ("", "Hello.")
    assert SCRUBBER.scrub(["", "Hello."]).found == {}


def test_absurd_numbers_in_placeholders_are_no_trouble():
    text = f"<EMAIL_{'9' * 5000}> <EMAIL_999999999> a@x.com"
    once = scrub(text)
    assert once.endswith(" <EMAIL_1>")
    assert scrub(once) == once


FRAGMENTS = st.sampled_from(
    [
        *(text for text, _ in CASES.values()),
        *STAY,
        *"<>@:/.-+ \n\"'=(0",
        "<EMAIL_1>",
        "<EMAIL",
        "_1>",
        "010",
        "12",
        "sk-",
        "입니다",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(FRAGMENTS | st.text(max_size=6), max_size=6).map("".join), max_size=3))
def test_scrubbing_twice_changes_nothing(texts):
    once = SCRUBBER.scrub(texts)
    assert SCRUBBER.scrub(once.texts) == engine.Scrubbed(once.texts, {})


UNITS = ["a", "1", "0", " ", "-", ".", ":", "/", "@", "=", "(", "+", "<", "\n", "\\", "A", "f", "가", "１", "\u200b"]


def seconds(text):
    start = time.process_time()
    scrub(text)
    return time.process_time() - start


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_one_character_takes_no_two_seconds(unit):
    assert seconds(unit * 1_000_000) < 2


@pytest.mark.parametrize(
    "unit",
    ["01 ", "1 ", "0 1", "a@", "@a.", "a.", "eyJ", "eyJaaaaaaaa.", "sk-", "://a:", "://a:b@", "password=", "token=",
     "Bearer ", "1.1.", "::", "a:", "((", "+1 ", "DE89 ", "ab12", "4111 ", "010-", "tel: 1", "900101-1", "a[at]a", "1-",
     "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n", "M" * 27 + ".", "비밀번호는 ",
     "<EMAIL_1>", "a" * 70 + "@"],
)  # fmt: skip
def test_time_grows_with_the_length_and_not_faster(unit):
    text = unit * (250_000 // len(unit))
    assert seconds(text) < 2  # a quarter of a megabyte; what is quadratic takes minutes


def test_ordinary_texts_need_neither_phonenumbers_nor_stdnum():
    code = (
        "import sys; from strop.feedback.scrub import Scrubber\n"
        "Scrubber().scrub(['Hello, on 2024-03-15 it was 12.5 %', 'a@x.com'])\n"
        "sys.exit(any(name.partition('.')[0] in ('phonenumbers', 'stdnum') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("regex", [r"(a+)+$", r"(\w+\s?)+$", r"(\d+-?)+x"])
def test_an_own_pattern_that_would_take_for_ever_is_refused(regex):
    with pytest.raises(UsageError, match="takes for ever"):
        Scrubber({"OWN": regex})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password: Tr0ub4dor&3xyz", "password: <PASSWORD_1>"),
        ("password: Tr0ub4dor,3;x)y]z, please", "password: <PASSWORD_1>, please"),
        ("(password=Tr0ub4dor&3xyz)", "(password=<PASSWORD_1>)"),
        ("?password=Tr0ub4dor3&user=ann", "?password=<PASSWORD_1>&user=ann"),
        ("{password: Tr0ub4dor3,user: ann}", "{password: <PASSWORD_1>,user: ann}"),
        ("login(password=Tr0ub4dor3, user=x)", "login(password=<PASSWORD_1>, user=x)"),
    ],
)
def test_a_sign_inside_a_password_does_not_end_it(text: str, left: str) -> None:
    assert Scrubber().scrub([text]).texts == (left,)
