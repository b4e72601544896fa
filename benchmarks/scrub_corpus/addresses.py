"""E-mail addresses and IP addresses, in the texts where people put them."""

from .positive import PEOPLE_FRAMES, Chance, Positive, framed, some_digits

FIRST = (
    "john",
    "mary",
    "wei",
    "minji",
    "jürgen",
    "søren",
    "françois",
    "anna",
    "raj",
    "yuki",
    "olga",
    "zoë",
    "ana",
    "x",
    "kim.ms",
)
LAST = (
    "smith",
    "o'connor",
    "müller",
    "kim",
    "park",
    "garcía",
    "de-vries",
    "novák",
    "li",
    "tanaka",
    "brown-jones",
    "hong",
)
DOMAINS = (
    "gmail.com",
    "naver.com",
    "daum.net",
    "outlook.de",
    "web.de",
    "163.com",
    "mail.ru",
    "company.co.uk",
    "dept.uni-köln.de",
    "a-very-long-company-name.example",
    "sub.sub2.host.io",
    "xn--mller-kva.de",
    "ministry.gov.br",
    "kaist.ac.kr",
    "my.museum",
    "1und1.de",
    "t-online.de",
    "startup.ai",
    "müller.shop",
    "EXAMPLE.ORG",
    "mail.consulting",
)


def an_email(chance: Chance) -> str:
    first, last = chance.choice(FIRST), chance.choice(LAST)
    local = chance.choice(
        (
            f"{first}.{last}",
            f"{first}_{last}",
            f"{first}{chance.randint(1, 9999)}",
            f"{first[0]}{last}",
            f"{first}+news@"[:-1],
            f"{first}.{last}+{chance.randint(1, 99)}",
            f"{first}-{last}",
            f"{chance.randint(100, 99999)}{first}",
            f"{first.upper()}.{last.upper()}",
            f"_{first}",
            f"{first}.{last}.{chance.randint(70, 99)}",
            f"010{some_digits(chance, 8)}",
        )
    )
    if chance.random() < 0.06:
        return chance.choice(
            ("анна.иванова@почта.рф", "用户@例子.中国", "홍길동@도메인.한국", "ivan@пример.рф", "δοκιμή@παράδειγμα.ελ")
        )
    return f"{local}@{chance.choice(DOMAINS)}"


EMAIL_FRAMES = (
    *PEOPLE_FRAMES,
    "<{}>",
    "mailto:{}",
    "[me](mailto:{})",
    "From: Kim <{}>",
    "https://x.example/?email={}&x=1",
    "e-mail={}",
    "메일은 {}으로 보내 주세요",
    "write to {}?",
    "{},{{}}",
    "cc: a friend; {}; nobody",
    "contact:{}/",
    "邮箱：{}。谢谢",
    "*{}*",
)


def email(chance: Chance) -> Positive:
    """An address in talk, headers, links, tables; one in ten with the @ as %40 or spelled out."""
    value, roll = an_email(chance), chance.random()
    if roll < 0.05 and value.isascii() and "'" not in value:
        return Positive("EMAIL", "https://x.example/u?email=", value.replace("@", "%40").replace("+", "-"), "&x=1")
    if roll < 0.10 and value.isascii() and "'" not in value and "-" not in value.split("@")[0]:
        at, dot = chance.choice(
            ((" [at] ", " [dot] "), ("(at)", "(dot)"), (" (at) ", "."), ("[at]", "."), (" {at} ", " {dot} "))
        )
        name, domain = value.split("@")
        return Positive("EMAIL", "Mail me: ", name + at + domain.replace(".", dot), chance.choice((", please", "")))
    frames = [frame for frame in EMAIL_FRAMES if frame != "{},{{}}"]
    if not value[0].isascii() or not value[-1].isascii():
        frames = [frame for frame in frames if frame in ("{}", "({})", "<{}>", "mailto:{}", '"{}"')]
    return framed("EMAIL", value, chance.choice(frames))


def _ip(chance: Chance) -> str:
    if chance.random() < 0.6:
        first = chance.choice((10, 172, 192, 8, 34, 52, 141, 203, chance.randint(1, 126), chance.randint(128, 223)))
        return f"{first}.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(0, 255)}"
    groups = [f"{chance.randrange(1, 1 << 16):x}" for _ in range(8)]
    groups[0] = chance.choice(("2001", "2a02", "fe80", "fd12", "2600", "2606"))
    kept = chance.choice((8, 8, 6, 5, 4, 3, 2))
    return ":".join(groups) if kept == 8 else f"{':'.join(groups[: kept - 1])}::{groups[-1]}"


IP_FRAMES = (
    *PEOPLE_FRAMES[:12],
    "ping {}",
    "ssh root@{} -p 22",
    "Failed password for root from {} port 22",
    "host={}",
    "IP: {}",
    "inet {}/24 brd",
    '{} - - [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 2326',
    "my address is {}.",
    "서버 {}에 접속",
    "X-Forwarded-For: {}, 127.0.0.1",
    "nameserver {}",
)


def ip(chance: Chance) -> Positive:
    """IPv4 and IPv6, public and private, in logs, commands, URLs and talk."""
    value = _ip(chance)
    if chance.random() < 0.15:
        before, after = ("http://", f":{chance.randint(80, 9999)}/x") if "." in value else ("http://[", "]:8080/x")
        return Positive("IP", before, value, after)
    return framed("IP", value, chance.choice(IP_FRAMES))
