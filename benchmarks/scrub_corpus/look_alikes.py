"""What must stay: texts that look like secrets or personal data and are none, by family."""

import base64

from stdnum import iban, luhn

from .banking import an_iban
from .positive import BASE64, HEX, LOWER, UPPER, Chance, Make, letters, some_digits, take


def _int(chance: Chance, low: int, high: int) -> int:
    return chance.randint(low, high)


def iso_date(chance: Chance) -> str:
    return f"{_int(chance, 1970, 2030)}-{_int(chance, 1, 12):02}-{_int(chance, 1, 28):02}"


def _clock(chance: Chance) -> str:
    return f"{_int(chance, 0, 23):02}:{_int(chance, 0, 59):02}:{_int(chance, 0, 59):02}"


def _uuid(chance: Chance) -> str:
    return "-".join(take(chance, HEX, size) for size in (8, 4, 4, 4, 12))


def _isbn13(chance: Chance) -> str:
    body = "978" + some_digits(chance, 9)
    check = -sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(body)) % 10
    return chance.choice(
        (
            f"ISBN {body}{check}",
            f"{body[:3]}-{body[3]}-{body[4:8]}-{body[8:]}-{check}",
            f"{body}{check}",
            f"ISBN-13: {body[:3]} {body[3]} {body[4:8]} {body[8:]} {check}",
        )
    )


def _isbn10(chance: Chance) -> str:
    body = chance.choice("0123") + some_digits(chance, 8)
    check = "0123456789X"[-sum(int(digit) * (10 - index) for index, digit in enumerate(body)) % 11]
    return chance.choice(
        (f"ISBN {body}{check}", f"ISBN-10: {body}{check}", f"{body[0]}-{body[1:4]}-{body[4:]}-{check}")
    )


def _wrong_card(chance: Chance) -> str:
    body = chance.choice("456") + some_digits(chance, 14)
    digit = str((int(luhn.calc_check_digit(body)) + _int(chance, 1, 9)) % 10)
    return chance.choice((body + digit, f"{body[:4]} {body[4:8]} {body[8:12]} {body[12:]}{digit}"))


def _wrong_iban(chance: Chance) -> str:
    number = an_iban(chance)
    wrong = number[:2] + f"{(int(number[2:4]) + _int(chance, 1, 50)) % 97:02}" + number[4:]
    return chance.choice((wrong, iban.format(wrong)))


def _thousands(chance: Chance) -> str:
    separator = chance.choice((",", ".", " ", "'", "\u00a0", "_"))
    return separator.join([str(_int(chance, 1, 999)), *(some_digits(chance, 3) for _ in range(_int(chance, 1, 3)))])


def _price(chance: Chance) -> str:
    amount = f"{_int(chance, 0, 99999)}.{some_digits(chance, 2)}"
    return chance.choice(
        (
            f"${amount}",
            f"{amount} EUR",
            f"€{_thousands(chance)}",
            f"₩{_int(chance, 1, 9999)},000",
            f"{_int(chance, 1, 99)}만 {_int(chance, 1, 9)}천원",
            f"USD {_thousands(chance)}.00",
            f"£{amount}–£{amount}",
        )
    )


def one_of(*texts: str) -> Make:
    return lambda chance: chance.choice(texts)


VERSION_WORDS = (
    *(
        "v",
        "version ",
        "Version: ",
        "release ",
        "Chrome/",
        "firmware ",
        "ver. ",
        "upgrade to ",
        "build ",
        "버전 ",
        "==",
    ),
    "driver-",
)

LOOK_ALIKES: dict[str, Make] = {
    "semantic version": lambda c: (
        f"{c.choice(('', 'v', 'numpy==', 'node@', '^', '~', 'pkg-'))}{_int(c, 0, 30)}.{_int(c, 0, 99)}."
        f"{_int(c, 0, 999)}{c.choice(('', '-rc.1', '-beta.2+build.7', '.dev0', 'a1'))}"
    ),
    "four-part version": lambda c: (
        c.choice(VERSION_WORDS) + f"{_int(c, 1, 150)}.{_int(c, 0, 20)}.{_int(c, 0, 255)}.{_int(c, 0, 255)}"
    ),
    "section number": lambda c: (
        f"{c.choice(('section ', '§ ', 'chapter ', 'Fig. ', 'clause ', 'Table '))}{_int(c, 1, 20)}.{_int(c, 1, 9)}."
        f"{_int(c, 1, 9)}.{_int(c, 1, 9)}"
    ),
    "browser": lambda c: (
        f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{_int(c, 90, 140)}.0.0.0 "
        "Safari/537.36"
    ),
    "md5": lambda c: take(c, HEX, 32),
    "sha1": lambda c: c.choice(("", "commit ", "sha: ")) + take(c, HEX, 40),
    "sha256": lambda c: c.choice(("", "sha256:", "sha256-")) + take(c, HEX, 64),
    "short sha": lambda c: take(c, HEX, _int(c, 7, 12)),
    "base64": lambda c: c.choice(("data:image/png;base64,", "")) + base64.b64encode(c.randbytes(60)).decode(),
    "integrity": lambda c: f"sha512-{take(c, BASE64, 86)}==",
    "uuid": _uuid,
    "uuid upper": lambda c: "{" + _uuid(c).upper() + "}",
    "ulid": lambda c: "01" + take(c, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24),
    "price": _price,
    "number with thousands": _thousands,
    "decimal": lambda c: f"{_int(c, -99, 99)}.{some_digits(c, _int(c, 1, 17))}",
    "scientific": lambda c: f"{_int(c, 1, 9)}.{some_digits(c, 8)}e{c.choice('+-')}{_int(c, 1, 30):02}",
    "coordinates": lambda c: f"{_int(c, -89, 89)}.{some_digits(c, 6)}, {_int(c, -179, 179)}.{some_digits(c, 6)}",
    "iso date": iso_date,
    "iso timestamp": lambda c: (
        f"{iso_date(c)}{c.choice('T ')}{_clock(c)}{c.choice(('', 'Z', '+09:00', '.123456Z', '.123456+0000'))}"
    ),
    "compact timestamp": lambda c: (
        iso_date(c).replace("-", "") + c.choice(("", "T", "_", "-")) + _clock(c).replace(":", "")
    ),
    "local date": lambda c: (
        f"{_int(c, 1, 28):02}{(s := c.choice('./-'))}{_int(c, 1, 12):02}{s}"
        f"{c.choice((str(_int(c, 1950, 2030)), some_digits(c, 2)))}{c.choice(('', ' ' + _clock(c), ', 10 Uhr'))}"
    ),
    "date range": lambda c: f"{iso_date(c)} - {iso_date(c)}",
    "korean date": lambda c: f"{_int(c, 1990, 2030)}년 {_int(c, 1, 12)}월 {_int(c, 1, 28)}일 {_int(c, 1, 12)}시",
    "time": lambda c: f"{_clock(c)}.{some_digits(c, 3)}",
    "unix seconds": lambda c: str(_int(c, 10**9, 1_900_000_000)),
    "unix milliseconds": lambda c: str(_int(c, 10**12, 1_900_000_000_000)),
    "unix microseconds": lambda c: str(_int(c, 10**15, 1_900_000_000_000_000)),
    "unix nanoseconds": lambda c: str(_int(c, 10**18, 1_900_000_000_000_000_000)),
    "isbn 13": _isbn13,
    "isbn 10": _isbn10,
    "issn": lambda c: f"ISSN {some_digits(c, 4)}-{some_digits(c, 3)}{c.choice('0123456789X')}",
    "ean": lambda c: c.choice(("EAN ", "", "GTIN: ")) + "4" + some_digits(c, 12),
    "order number": lambda c: (
        f"{c.choice(('order ', 'Order #', 'invoice no. ', 'ticket ', 'case id: ', '주문번호 ', 'tracking number '))}"
        f"{some_digits(c, _int(c, 6, 14))}"
    ),
    "order code": lambda c: f"{letters(c, 2)}-{_int(c, 2019, 2026)}-{some_digits(c, 6)}",
    "amazon order": lambda c: f"{some_digits(c, 3)}-{some_digits(c, 7)}-{some_digits(c, 7)}",
    "serial in fours": lambda c: "-".join(take(c, UPPER, 4) for _ in range(4)),
    "digits in fours": lambda c: "-".join(some_digits(c, 4) for _ in range(3)),
    "ups tracking": lambda c: "1Z" + take(c, UPPER, 6) + some_digits(c, 10),
    "bare ten digits": lambda c: c.choice("123456789") + some_digits(c, 9),
    "bare nine digits": lambda c: c.choice("123456789") + some_digits(c, 8),
    "bare eleven digits": lambda c: c.choice("123456789") + some_digits(c, 10),
    "bare twelve digits": lambda c: c.choice("123456789") + some_digits(c, 11),
    "discord snowflake": lambda c: str(_int(c, 10**17, 13 * 10**17)),
    "account in text": lambda c: f"row {_int(c, 1, 9999999)} of {_int(c, 1, 99999999)}",
    "wrong card": _wrong_card,
    "wrong iban": _wrong_iban,
    "zip plus four": lambda c: f"{some_digits(c, 5)}-{some_digits(c, 4)}",
    "business number": lambda c: f"{some_digits(c, 3)}-{some_digits(c, 2)}-{some_digits(c, 5)}",
    "mac": lambda c: c.choice(":-").join(take(c, HEX, 2) for _ in range(6)),
    "fingerprint": lambda c: ":".join(take(c, HEX, 2).upper() for _ in range(20)),
    "hex dump": lambda c: f"{_int(c, 0, 4095):08x}  " + " ".join(take(c, HEX, 2) for _ in range(16)),
    "decimal dump": lambda c: " ".join(f"{_int(c, 0, 99):02}" for _ in range(12)),
    "list": lambda c: str([_int(c, 0, 10 ** _int(c, 1, 9)) for _ in range(6)]),
    "matrix": lambda c: "\n".join(" ".join(str(_int(c, 0, 9)) for _ in range(9)) for _ in range(4)),
    "numbers in a row": lambda c: " ".join(str(_int(c, 1, 9999)) for _ in range(7)),
    "arithmetic": lambda c: f"{_int(c, 100, 999)}-{_int(c, 100, 999)}*{_int(c, 10, 99999)}={_int(c, 1, 10**7)}",
    "scope": one_of(
        "std::vector",
        "dead::beef",
        "Foo::Bar::baz",
        "x[1::2]",
        "a[::2]",
        "std::chrono::seconds",
        "core::fmt",
        "[10::-1]",
        "face::cafe",
    ),
    "loopback": one_of(
        "127.0.0.1", "http://127.0.0.1:8080/", "0.0.0.0:80", "::1", "[::1]:8080", "255.255.255.0", "127.0.1.1", "::"
    ),
    "handle": one_of(
        "@kim_minji",
        "user@host",
        "root@localhost:~#",
        "@media",
        "@app.route",
        "foo@bar",
        "git@github.com:o/r.git",
        "ssh://git@gitlab.com/o/r",
        "@types/node@20.1.0",
        "react@18.2.0",
        "actions/checkout@v4",
        "icon@2x.png",
        "logo@3x.webp",
        "pkg@1.2.3-beta.rc",
    ),
    "url": lambda c: (
        f"https://example.org/{take(c, LOWER, 8)}/{some_digits(c, 8)}?id={some_digits(c, 9)}&t={_int(c, 0, 999)}s"
    ),
    "url with port": one_of(
        "http://localhost:8080/a@b",
        "https://host.example:443/x",
        "redis://cache:6379/0",
        "http://example.org:80/@user",
        "postgres://db.example:5432/app",
    ),
    "url variable": one_of(
        "postgres://app:${DB_PASSWORD}@db/x",
        "https://user:$TOKEN@host/x",
        "mysql://u:***@h/db",
        "redis://:{password}@h:1",
        "https://u:%(pw)s@h/",
    ),
    "stand-in": one_of(
        "OPENAI_API_KEY=sk-...",
        "sk-your-api-key-here",
        "api_key=YOUR_API_KEY",
        "token: <your token>",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "password=********",
        "password: changeme",
        "secret: ${SECRET}",
        "Authorization: Bearer <token>",
        "Bearer YOUR_TOKEN_GOES_HERE",
        "password={{ password }}",
        'api_key: "your-key-12345"',
        "token=xxxxx-xxxxx",
    ),
    "code": one_of(
        "password = os.environ['DB_PASS']",
        "token = tokenizer.encode(text)",
        "api_key=self.api_key",
        "password = getpass.getpass()",
        "max_tokens=4096",
        "token_count: 512",
        "password: str",
        "password: Optional[str] = None",
        "secret = get_secret('x')",
        '"password": {"type": "string", "minLength": 12}',
        "const token = req.headers.authorization",
        "key=lambda x: x[1]",
        "public_key_fingerprint",
        "access_key = config.access_key",
        "tokens: 1234567",
        "if password == user.password2:",
        "token = next(tokens)",
        "api_key: process.env.API_KEY",
    ),
    "talk of secrets": one_of(
        "The password is required.",
        "Your password is wrong!",
        "password is case-sensitive",
        "password is SHA-256 hashed",
        "the token is expired now",
        "token: a string of characters",
        "Bearer authentication is used",
        "API key authentication",
        "the secret is patience",
        "my password is longer than yours",
        "비밀번호는 필수 항목입니다",
        "비밀번호: 8자 이상",
        "password: at least 8 characters",
        "Authorization: required",
        "credentials: include",
        "token: null",
    ),
    "css": one_of(
        "sk-loading-spinner-container-large",
        'class="sk-fading-circle"',
        "sk-learn",
        "#ff00aa #12345678",
        "key-value-store",
        "pypi-server",
    ),
    "public key": lambda c: c.choice(
        (
            f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{take(c, BASE64, 43)}",
            f"-----BEGIN PUBLIC KEY-----\n{take(c, BASE64, 64)}\n-----END PUBLIC KEY-----",
            f"-----BEGIN CERTIFICATE-----\n{take(c, BASE64, 64)}\n-----END CERTIFICATE-----",
        )
    ),
    "paper": lambda c: c.choice(
        (
            f"arXiv:{_int(c, 10, 26)}{_int(c, 1, 12):02}.{some_digits(c, 5)}",
            f"doi:10.{some_digits(c, 4)}/{take(c, LOWER, 6)}.{_int(c, 1990, 2025)}.{some_digits(c, 5)}",
            f"PMID: {some_digits(c, 8)}",
            f"RFC {_int(c, 1, 9999)}",
        )
    ),
    "chemistry": lambda c: f"CAS {some_digits(c, 5)}-{some_digits(c, 2)}-{some_digits(c, 1)}",
    "oid": lambda c: f"1.3.6.1.4.1.{_int(c, 1, 9999)}.{_int(c, 1, 9)}",
    "part number": lambda c: f"{letters(c, 2)}{some_digits(c, 4)}-{some_digits(c, 3)}{letters(c, 1)}",
    "model name": one_of(
        "gpt-4o-2024-08-06",
        "Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        "claude-3-5-sonnet-20241022",
        "llama-3.1-405b",
        "RTX 4090",
        "iPhone 15 Pro",
        "WH-1000XM5",
        "i7-13700K",
    ),
    "score": lambda c: (
        f"{_int(c, 0, 9)}-{_int(c, 0, 9)}, {_int(c, 0, 180)}:{_int(c, 0, 180)}, {_int(c, 6, 7)}-{_int(c, 0, 5)} "
        f"{_int(c, 6, 7)}-{_int(c, 0, 5)}"
    ),
    "phone-less area": one_of(
        "1-800", "911", "112", "555", "+1", "+82", "010", "070-", "0800", "+5 points", "+1000000", "-12345678"
    ),
    "placeholder": one_of("<EMAIL_1>", "<PHONE_12>", "<STUDENT_1> and <CARD_2>", "[EMAIL]", "<NAME>", "{{EMAIL_1}}"),
}
