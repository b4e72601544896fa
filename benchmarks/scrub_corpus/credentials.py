"""Keys, tokens, private keys and passwords, in code, headers, connection strings and talk.

Keys are put together from the prefixes that the providers document and random characters.
"""

import base64
import string

from .positive import (
    ALNUM,
    BASE64,
    HEX,
    LOWER,
    PEOPLE_FRAMES,
    UPPER,
    URLSAFE,
    Chance,
    Positive,
    framed,
    some_digits,
    take,
)

# (prefix, alphabet, length), and what cannot be written so.
KEYS: tuple[tuple[str, str, int], ...] = (
    ("sk-", ALNUM, 48),
    ("sk-proj-", URLSAFE, 74),
    ("sk-proj-", URLSAFE, 156),
    ("sk-svcacct-", URLSAFE, 74),
    ("sk-ant-api03-", URLSAFE, 95),
    ("sk-ant-admin01-", URLSAFE, 95),
    ("sk-or-v1-", HEX, 64),
    ("sk-", HEX, 32),
    ("AKIA", UPPER, 16),
    ("ASIA", UPPER, 16),
    ("AIza", URLSAFE, 35),
    ("GOCSPX-", URLSAFE, 28),
    ("ya29.", URLSAFE, 120),
    ("hf_", string.ascii_letters, 34),
    ("ghp_", ALNUM, 36),
    ("gho_", ALNUM, 36),
    ("ghs_", ALNUM, 36),
    ("ghr_", ALNUM, 76),
    ("glpat-", URLSAFE, 20),
    ("gldt-", URLSAFE, 20),
    ("xapp-1-A0", UPPER, 50),
    ("sk_live_", ALNUM, 24),
    ("sk_test_", ALNUM, 99),
    ("rk_live_", ALNUM, 24),
    ("whsec_", ALNUM, 32),
    ("SK", HEX, 32),
    ("AC", HEX, 32),
    ("key-", HEX, 32),
    ("npm_", ALNUM, 36),
    ("pypi-AgEIcHlwaS5vcmc", URLSAFE, 150),
    ("rubygems_", HEX, 48),
    ("dckr_pat_", URLSAFE, 27),
    ("gsk_", ALNUM, 52),
    ("xai-", ALNUM, 80),
    ("r8_", ALNUM, 37),
    ("pplx-", ALNUM, 48),
    ("nvapi-", URLSAFE, 64),
    ("dop_v1_", HEX, 64),
    ("dapi", HEX, 32),
    ("shpat_", HEX, 32),
    ("sq0atp-", URLSAFE, 22),
    ("figd_", URLSAFE, 40),
    ("lin_api_", ALNUM, 40),
    ("ntn_", ALNUM, 46),
    ("hvs.", URLSAFE, 90),
    ("sbp_", HEX, 40),
)


def _key(chance: Chance) -> str:
    def some(alphabet: str, length: int) -> str:
        return take(chance, alphabet, length)

    composed = (
        lambda: f"github_pat_{some(ALNUM, 22)}_{some(ALNUM, 59)}",
        lambda: f"xoxb-{some_digits(chance, 12)}-{some_digits(chance, 13)}-{some(ALNUM, 24)}",
        lambda: f"xoxp-{some_digits(chance, 12)}-{some_digits(chance, 12)}-{some_digits(chance, 13)}-{some(HEX, 32)}",
        lambda: f"{chance.choice('MNO')}{some(ALNUM, 25)}.{some(URLSAFE, 6)}.{some(URLSAFE, 38)}",
        lambda: f"{some_digits(chance, 10)}:AA{some(URLSAFE, 33)}",
        lambda: f"SG.{some(URLSAFE, 22)}.{some(URLSAFE, 43)}",
        lambda: f"{some(HEX, 32)}-us{chance.randint(1, 21)}",
        lambda: f"{some(ALNUM, 3)}8Q~{some(ALNUM, 34)}",
        lambda: f"glsa_{some(ALNUM, 32)}_{some(HEX, 8)}",
        lambda: f"lsv2_pt_{some(HEX, 32)}_{some(HEX, 10)}",
    )
    if chance.random() < 0.2:
        return chance.choice(composed)()
    prefix, alphabet, length = chance.choice(KEYS)
    # A key does not end in a dash: people see that they cut it off.
    return prefix + some(alphabet, length - 1) + some(alphabet.replace("-", "").replace("_", ""), 1)


KEY_FRAMES = (
    *PEOPLE_FRAMES[:12],
    "OPENAI_API_KEY={}",
    'export TOKEN="{}"',
    "client = Client(api_key='{}')",
    "Authorization: Bearer {}",
    "api_key: {}",
    "my key {} does not work",
    "curl -H 'X-Api-Key: {}' https://x.example",
    "git clone https://{}@github.com/o/r",
    '{"token":"%s"}',
    "토큰은 {} 이에요",
    "https://api.x.example/v1?key={}&q=1",
    "Error: invalid key {}.",
)


def api_key(chance: Chance) -> Positive:
    """Keys of some fifty kinds in talk, code, headers, URLs; connection strings and webhooks keep what is no secret."""
    if chance.random() < 0.08:
        before, value, after = chance.choice(
            (
                (
                    "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=",
                    take(chance, BASE64, 86) + "==",
                    ";EndpointSuffix=core.windows.net",
                ),
                (
                    "https://hooks.slack.com/services/",
                    f"T{take(chance, UPPER, 8)}/B{take(chance, UPPER, 10)}/{take(chance, ALNUM, 24)}",
                    " posts",
                ),
                ("https://discord.com/api/webhooks/" + some_digits(chance, 18) + "/", take(chance, URLSAFE, 68), ""),
                ("https://x.blob.core.windows.net/c?sv=2022&sig=", take(chance, ALNUM, 40) + "%3D", "&se=2024"),
            )
        )
        return Positive("API_KEY", before, value, after)
    return framed("API_KEY", _key(chance), chance.choice(KEY_FRAMES))


def _encoded(chance: Chance, head: str) -> str:
    return (
        base64.urlsafe_b64encode(f'{head}{take(chance, ALNUM, chance.randint(5, 60))}"}}'.encode()).decode().rstrip("=")
    )


def jwt(chance: Chance) -> Positive:
    """Signed tokens, unsigned and encrypted ones."""
    head, body = _encoded(chance, '{"alg":"HS256","kid":"'), _encoded(chance, '{"sub":"')
    ends = (f".{take(chance, URLSAFE, 42)}A", f".{take(chance, URLSAFE, 341)}A", ".", "")
    value = f"{head}.{body}{chance.choice(ends[:2] if chance.random() < 0.9 else ends)}"
    return framed("JWT", value, chance.choice([frame for frame in KEY_FRAMES if "{}." not in frame]))


def private_key(chance: Chance) -> Positive:
    """RSA, EC, OpenSSH, PKCS#8, encrypted, PGP; one in four in JSON, one in ten cut off."""
    name = chance.choice(
        (
            "RSA PRIVATE KEY",
            "PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        )
    )
    width = 70 if "OPENSSH" in name else 64
    lines = [take(chance, BASE64, width) for _ in range(chance.randint(2, 25))] + [
        take(chance, BASE64, chance.randint(4, 60)) + "=="
    ]
    if name.startswith("RSA") and chance.random() < 0.3:
        lines = ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: AES-128-CBC,{take(chance, HEX, 32).upper()}", "", *lines]
    if name.startswith("PGP"):
        lines = ["Version: GnuPG v2", "", *lines, f"={take(chance, BASE64, 4)}"]
    closing = [f"-----END {name}-----"] if chance.random() > 0.1 else []
    value = chance.choice(("\n", "\n", "\n", "\\n")).join([f"-----BEGIN {name}-----", *lines, *closing])
    before, after = ('{"private_key": "', '"}') if "\\n" in value else ("My key:\n", "\nWhat is wrong with it?")
    return Positive("PRIVATE_KEY", before, value, after)


SECRET_FRAMES = (
    "API_KEY={}",
    'api_key = "{}"',
    '{"client_secret": "%s"}',
    "aws_secret_access_key = {}",
    "token: {}",
    "secret: '{}'",
    "Authorization: Bearer {}",
    '-H "Authorization: Basic {}"',
    "x-api-key: {}",
    "--token {}",
    "--api-key={}",
    "access_token={}&x=1",
    "SECRET_KEY = '{}'",
    "const apiKey = `{}`;",
    "my api key: {}",
    "auth_token={}",
    '"accessToken":"{}",',
    "https://x.example/cb?token={}",
    "export GH_TOKEN={}",
    'headers={"Authorization": "Bearer %s"}',
    "Bearer {}",
    "credentials: {}",
    "encryption_key: {}",
    "sessionid={}; Path=/",
    "api key = {}",
    "the secret token is: {}"[:-2].replace("is:", "=") + "{}",
)


def secret(chance: Chance) -> Positive:
    """Keys without a prefix of their own, that a name in front gives away."""
    length = chance.choice((16, 20, 24, 32, 40, 64))
    value = chance.choice(
        (
            take(chance, HEX, length),
            take(chance, ALNUM, length),
            take(chance, BASE64, length) + chance.choice(("", "=", "==")),
            "-".join(take(chance, HEX, size) for size in (8, 4, 4, 4, 12)),
            take(chance, LOWER, length),
            take(chance, URLSAFE, length - 1) + "x",
        )
    )
    return framed("SECRET", value, chance.choice(SECRET_FRAMES))


WORDS = (
    "summer",
    "Dragon",
    "hunter",
    "Seoul",
    "monkey",
    "letmein",
    "Berlin",
    "qwerty",
    "p4ss",
    "Secret",
    "tiger",
    "Winter",
    "apple",
    "kim",
)
PASSWORD_FRAMES = (
    "password={}",
    "password: {}",
    "DB_PASSWORD={}",
    '"password": "{}"',
    "pwd='{}'",
    'passwd = "{}"',
    "비밀번호: {}",
    "비밀번호는 {} 입니다",
    "my password is {}",
    "Passwort: {}",
    "mysql --password={}",
    "user=root;password={};db=x",
    "passphrase: '{}'",
    "Server=x;Uid=sa;Pwd={};",
    "password => '{}'",
    "login kim, password {}"[:-3] + ": {}",
)
URL_PASSWORD_FRAMES = (
    "postgres://app:{}@db.example.org:5432/x",
    "https://user:{}@host.example/path",
    "redis://:{}@cache:6379/0",
    "mongodb+srv://root:{}@c0.mongodb.net/x?y=z",
    "amqp://guest:{}@10.0.0.5".replace("10.0.0.5", "mq"),
    'DATABASE_URL="mysql://u:{}@localhost/db"',
    "git clone https://kim:{}@git.example/x.git",
    "curl -u kim:{} https://x.example",
)


def password(chance: Chance) -> Positive:
    """What people choose and what managers make, assigned, said, or in a URL."""
    word, number, sign = chance.choice(WORDS), str(chance.randint(10, 9999)), chance.choice("!@#$%*?")
    value = chance.choice(
        (
            word + number,
            word + number + sign,
            word + sign + number,
            number + word + sign,
            take(chance, ALNUM, 15) + "7a",
            word + word.upper() + number,
        )
    )
    if chance.random() < 0.35:
        return framed("PASSWORD", value.replace("#", "!").replace("?", "!"), chance.choice(URL_PASSWORD_FRAMES))
    # Said in a sentence, a password of small letters and digits alone is told from a word by its length.
    return framed("PASSWORD", value if len(value) >= 6 else value + "2024", chance.choice(PASSWORD_FRAMES))
