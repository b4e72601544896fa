"""What a candidate must pass before the scrubber takes it: check digits, plausible dates, context, enough variety.

A check gets a Candidate and returns the span that is to go (often the candidate's own, sometimes a longer or a
shorter one), or None when it is no such thing. Phone numbers have a room of their own, `scrub_phones`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """`text[start:end]` has the shape of something; `regions` are those whose national phone numbers are known."""

    text: str
    start: int
    end: int
    regions: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """What the pattern caught."""
        return self.text[self.start : self.end]

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.start, self.end

    def before(self, chars: int) -> str:
        """Up to `chars` characters in front of it."""
        return self.text[max(0, self.start - chars) : self.start]


Check = Callable[[Candidate], Span | None]

# A number behind one of these words is an order, a book or a part, whatever its digits add up to.
_NO_PERSON = re.compile(
    r"(?:isbn(?:-1[03])?|issn|ean|upc|gtin|order|invoice|ticket|tracking|sku|serial|part|case|build|commit|article"
    r"|product|item|(?<![A-Za-z])id|parcel|shipment|transaction|주문|송장|운송장)"
    r"[ _-]?(?:id|no|nr|number|num|code|번호)?"
    r"[.\"']{0,2}[ ]?[:#=]{0,2}[ \"'#]{0,3}$|97[89][ -]\d{1,5}[ -]$",
    re.IGNORECASE,
)


def named_otherwise(candidate: Candidate) -> bool:
    """Whether the words in front say that the digits are an ISBN, an order number or the like."""
    return _ends_in_such_a_word(candidate.before(32))


@lru_cache(maxsize=1024)
def _ends_in_such_a_word(ahead: str) -> bool:
    return _NO_PERSON.search(ahead) is not None


def goes_on(candidate: Candidate) -> bool:
    """Whether digits in front are of one row with the candidate: as long as its first group, and as far from it."""
    ahead = _GROUP_AHEAD.search(candidate.before(9))
    first = _FIRST_GROUP.match(candidate.value)
    return bool(ahead and first and len(ahead[1]) == len(first[1]) and ahead[2] == first[2])


_GROUP_AHEAD = re.compile(r"(?<![0-9])([0-9]{1,8})([ .-])$")
_FIRST_GROUP = re.compile(r"([0-9]{1,8})([ .-])")


def stands_free(check: Check) -> Check:
    """`check`, but not for groups of digits that are preceded by more digits."""
    return lambda candidate: None if re.search(r"\d[ .-]$", candidate.before(2)) else check(candidate)


def stdnum(*modules: str) -> Check:
    """The check of python-stdnum's `modules` (such as "kr.rrn"; one must agree), imported with the first candidate."""

    def check(candidate: Candidate) -> Span | None:
        number = re.sub(r"[^0-9A-Za-z+-]", "", candidate.value)
        bare = number.replace("-", "")
        return candidate.span if any(_stdnum_says(name, way) for name in modules for way in (number, bare)) else None

    return check


@lru_cache(maxsize=1024)
def _stdnum_says(module: str, value: str) -> bool:
    return bool(import_module(f"stdnum.{module}").is_valid(value))


def shape_is_enough(candidate: Candidate) -> Span:
    """No check at all: the pattern says everything."""
    return candidate.span


def resident(candidate: Candidate) -> Span | None:
    """A Korean resident or foreigner number, written with its hyphen or named as such: the birth date must exist.

    The check digit is not asked for: numbers given out since October 2020 have none.
    """
    from stdnum.exceptions import ValidationError
    from stdnum.kr import rrn

    try:
        rrn.get_birth_date(re.sub(r"\D", "", candidate.value), allow_future=False)
    except ValidationError:
        return None
    return candidate.span


def resident_bare(candidate: Candidate) -> Span | None:
    """Thirteen bare digits: only with the check digit and the birth date of a living person, for lack of a shape."""
    from stdnum.kr import rrn

    if named_otherwise(candidate) or not rrn.is_valid(candidate.value, allow_future=False):
        return None
    return candidate.span if rrn.get_birth_date(candidate.value).year >= 1920 else None


def card(candidate: Candidate) -> Span | None:
    """A payment card: Luhn, and a known issuer's first digits and length unless it is written in four groups."""
    if goes_on(candidate) or _IN_A_ROW.match(candidate.text, candidate.end) or _IBAN_HEAD.search(candidate.before(5)):
        return None
    # Three digits behind a card are its security code more often than the end of a card of nineteen.
    for length in sorted(
        {19, len(candidate.value)} if len(candidate.value) > 19 else {len(candidate.value)}, reverse=True
    ):
        if _is_card(candidate.value[:length], named_otherwise(candidate)):
            return candidate.span
    return None


def _is_card(value: str, named: bool) -> bool:
    digits = re.sub(r"\D", "", value)
    grouped = digits != value
    if len(set(digits)) == 1 or (named and not grouped):
        return False
    if not _ISSUER.fullmatch(digits) and not (grouped and len(digits) == 16 and digits[0] in "34569"):
        return False
    return _stdnum_says("luhn", digits)


_IN_A_ROW = re.compile(r"[ -]\d{4}[ -]\d{4}(?!\d)")
_IBAN_HEAD = re.compile(r"[A-Za-z]{2}\d\d[ -]$")
# First digits and length: Visa, Mastercard, American Express, Discover, Diners, JCB, UnionPay, Mir, RuPay, Maestro.
_ISSUER = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|220[0-4]\d{12}"
    r"|(?:508\d|60\d\d|8[12]\d\d)\d{12}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12}"
)


def iban(candidate: Candidate) -> Span | None:
    """An IBAN at the start of the candidate: the longest piece whose check digits and national structure are right."""
    if candidate.value[:1].islower() and not candidate.value[2:3].isdigit():
        return None
    ends = [match.end() for match in _WORD.finditer(candidate.value)]
    for end in reversed(ends):
        value = candidate.value[:end]
        if 15 <= sum(map(str.isalnum, value)) <= 34 and _stdnum_says("iban", value):
            return candidate.start, candidate.start + end
    return None


_WORD = re.compile(r"[0-9A-Za-z]+")


def ipv4(candidate: Candidate) -> Span | None:
    """Four octets, unless the words around say that it is a version; loopback, 0.0.0.0 and netmasks stay."""
    octets = candidate.value.split(".")
    if any(int(octet) > 255 or (octet[0] == "0" and octet != "0") for octet in octets):
        return None
    return None if octets[0] in ("0", "127", "255") or _speaks_of_a_version(candidate.before(40)) else candidate.span


@lru_cache(maxsize=1024)
def _speaks_of_a_version(ahead: str) -> bool:
    return _VERSION.search(ahead) is not None


_VERSION = re.compile(
    r"(?:\b(?:versions?|ver|v|releases?|builds?|revision|rev|firmware|driver|python|node|chapter|section|sections|sec|clause"
    r"|figure|fig|table|paragraph|article|appendix|oid"
    r"|(?:upgrad|updat|downgrad|bump|pinn?)(?:e|ed|ing)?(?: from| to)?)\.?[ :=]{0,3}\"?|§ ?|버전(?:은|:)? ?"
    r"|(?:^|[^/\w])[A-Za-z][\w.]*/|[A-Za-z]-|[=~<>^]=|[~^])$"
    r"|\b(?:upgrad|updat|downgrad|version|release)\w* (?:\w+ ){0,3}[\d.]+ (?:to|and|or|through|->|→) $",
    re.IGNORECASE | re.ASCII,
)


def ipv6(candidate: Candidate) -> Span | None:
    """A valid IPv6 address that is no slice (`x[1::2]`), no scope (`dead::beef`), no loopback; a MAC never is one."""
    from ipaddress import AddressValueError, IPv6Address

    try:
        address = IPv6Address(candidate.value.partition("%")[0])
    except AddressValueError:
        return None
    groups = [group for group in candidate.value.split(":") if group]
    short = len(groups) < 3 and (
        len(groups[:1]) == 0 or len(groups[0]) < 4 or not any(map(str.isdigit, candidate.value))
    )
    index = re.search(r"[\w)\]]\[$", candidate.before(2))
    return None if address.is_loopback or address.is_unspecified or short or index else candidate.span


def email(candidate: Candidate) -> Span | None:
    """The address around an `@domain`: what may stand left of the @ is looked for from there, at most 64 characters."""
    window = candidate.before(64)
    if not (local := _LOCAL_BACKWARDS.match(window[::-1])):
        return None
    name = window[len(window) - local.end() :].lstrip(".'-")
    start = candidate.start - len(name)
    domain = candidate.value.removeprefix("@").removeprefix("%40")
    if not name or _NO_DOMAIN.search(domain):
        return None
    if name == "git" and candidate.text[candidate.end : candidate.end + 1] == ":":
        return None
    # https://name:password@host: what stands left of the @ is for the patterns of URLs.
    _, scheme, user = candidate.before(4096).rpartition("://")
    return None if scheme and not re.search(r"[\s/?#]", user) else (start, candidate.end)


# Letters of scripts that put spaces between words may be mixed with ASCII; Korean, Chinese and Japanese may not, since
# there an ASCII address often follows a word without a space.
_LOCAL_BACKWARDS = re.compile(
    r"[A-Za-z0-9._+'~\u00c0-\u10ff\u1200-\u1fff-]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+"
)
_NO_DOMAIN = re.compile(
    r"^v?\d+\.\d+(?:\.|$)|^\d+x\.|\.(?:png|jpe?g|gif|svg|webp|ico|pdf|jsx?|tsx?|css|html?|txt|json|ya?ml|toml|xml|csv"
    r"|mp[34])$",
    re.IGNORECASE,
)


def varied(candidate: Candidate) -> Span | None:
    """A key behind a known prefix, unless it is a stand-in such as sk-xxxxxxxx or sk-your-key-here."""
    value = candidate.value
    if len(set(value)) < 10 or _STAND_IN.search(value) or re.fullmatch(r"[a-z]+(?:[-_.][a-z]+)*", value):
        return None
    return candidate.span


_STAND_IN = re.compile(
    r"your|change.?me|placeholder|dummy|redacted|replace|insert|(.)\1{7}|\.\.\.|…|^[$%{\[]|^(?:none|null|undefined)$",
    re.IGNORECASE,
)


def token(candidate: Candidate) -> Span | None:
    """What follows Bearer, Authorization, `token=` or `api_key:`: at least 8 characters that look made by a machine."""
    start, end = _assigned(candidate)
    value = candidate.text[start:end]
    if len(value) < 8 or " " in value or len(set(value)) < 6 or _STAND_IN.search(value) or _is_code(value):
        return None
    digit, upper, lower = (re.search(kind, value) for kind in ("[0-9]", "[A-Z]", "[a-z]"))
    cased = upper and lower and len(value) >= 12 and not re.fullmatch(r"[A-Z]?[a-z]+(?:[-_ ]?[A-Z]?[a-z]+)*", value)
    return (start, end) if (digit and (upper or lower)) or cased else None


def password(candidate: Candidate) -> Span | None:
    """What follows `password=`: six characters or more, letters mixed with digits or signs, or digits alone."""
    start, end = _assigned(candidate)
    value = candidate.text[start:end]
    if len(value) < 6 or _STAND_IN.search(value) or _is_code(value) or _ALGORITHM.match(value):
        return None
    letter, digit = (re.search(kind, value) for kind in ("[A-Za-z]", "[0-9]"))
    sign = re.search(r"[!@#$%^&*+?~|=](?=.)", value)
    if " " in value:  # a sentence about a password, unless it looks like nothing that one would say
        return (start, end) if letter and digit and sign else None
    return (start, end) if (letter and (digit or sign)) or value.isdigit() or (digit and sign) else None


def password_said(candidate: Candidate) -> Span | None:
    """What follows "the password is": stricter, as words follow there too ("is 8-character", "is SHA-256 hashed")."""
    if re.match(r"\d+-[a-z]|\d+$", candidate.value):
        return None
    return password(candidate)


_ALGORITHM = re.compile(
    r"(?:sha|md[45]|base|utf|aes|rsa|bcrypt|argon|scrypt|pbkdf|oauth|http|ipv|ntlm)[\w-]*$", re.IGNORECASE
)


# What ends a value that no quotes enclose. A sign in the middle of one does not: passwords hold all of them.
_CLOSES = re.compile(r"[\s\\]|&(?=[\w.%-]+=)|[,;](?=$|[\s\"'\[{(]|[\w.-]+[\"']?\s?[=:])|[)\]}](?=$|[\s,.;:?!)\]}\"'`])")


def _assigned(candidate: Candidate) -> Span:
    """The value's span: to the closing quote where one was opened, else without what closes a clause."""
    quote = candidate.text[candidate.start - 1 : candidate.start]
    if quote in ("'", '"', "`"):
        end = candidate.text.find(quote, candidate.start, candidate.start + 256)
        if end > candidate.start and "\n" not in candidate.text[candidate.start : end]:
            return candidate.start, end - (candidate.text[end - 1] == "\\")
    value = _CLOSES.split(candidate.value, maxsplit=1)[0].rstrip(".:")
    return candidate.start, candidate.start + len(value)


def _is_code(value: str) -> bool:
    """Whether the value is an expression (`os.environ["X"]`, `self.token`, `get_token()`) rather than a literal."""
    if "(" in value or "[" in value:
        return re.match(r"[A-Za-z_][\w.]*[(\[]", value) is not None
    if re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", value) and sum(map(str.isdigit, value)) < 3:
        return True
    return len(value) < 40 and re.fullmatch(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", value) is not None


def url_password(candidate: Candidate) -> Span | None:
    """The password of a URL, unless it is a variable (`${PASSWORD}`) or stars."""
    return None if re.match(r"\$|%\(|\{|\[|\*+$", candidate.value) else candidate.span


def user_password(candidate: Candidate) -> Span | None:
    """The password behind `-u user:`, likewise; digits alone are a group (`docker run -u 1000:1000`)."""
    return None if candidate.value.isdigit() else url_password(candidate)


def private_key(candidate: Candidate) -> Span | None:
    """From the BEGIN line to the END line; where the END is missing, as far as the lines look like the key's."""
    text, end = candidate.text, candidate.end
    dashes = text.find("-----", end)
    if dashes >= 0 and text.startswith("-----END", dashes):
        closing = re.compile(r"-----END[A-Z0-9 ]{0,60}(?:-----)?").match(text, dashes)
        return candidate.start, closing.end() if closing else dashes
    body = _KEY_BODY.match(text, end)
    return candidate.start, body.end() if body else end


# Lines of base64 (broken by real or by escaped line ends) and the headers of an encrypted key.
_KEY_BODY = re.compile(
    r"(?:(?:\s|\\r|\\n){0,4}(?:(?:Proc-Type|DEK-Info|Version|Comment): [^\n\\]{0,100}|[A-Za-z0-9+/=]{20,}))*+"
    r"(?:(?:\s|\\r|\\n){1,2}[A-Za-z0-9+/=]{1,76}(?=[ \t]*(?:\r?\n|$)|\\n|\")){0,2}"
)
