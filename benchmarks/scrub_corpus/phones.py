"""Phone numbers of 48 countries: any that `phonenumbers` calls valid, in the spellings that people use."""

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from .positive import PEOPLE_FRAMES, PHONE_FRAMES, Chance, Positive, framed, some_digits

REGIONS = (
    "US",
    "GB",
    "DE",
    "FR",
    "KR",
    "JP",
    "CN",
    "IN",
    "BR",
    "ES",
    "IT",
    "NL",
    "BE",
    "CH",
    "AT",
    "PL",
    "SE",
    "AU",
    "CA",
)
ABROAD = (
    "MX",
    "TR",
    "RU",
    "ZA",
    "NG",
    "EG",
    "VN",
    "TH",
    "ID",
    "PH",
    "SG",
    "HK",
    "TW",
    "NZ",
    "IE",
    "PT",
    "DK",
    "NO",
    "FI",
    "CZ",
    "GR",
    "IL",
    "AE",
    "SA",
    "AR",
    "CL",
    "UA",
    "HU",
    "RO",
)
TRUNK = ("GB", "DE", "FR", "KR", "JP", "NL", "BE", "CH", "AT", "SE", "AU")


def a_phone(chance: Chance, region: str) -> phonenumbers.PhoneNumber:
    kind = chance.choice((PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE))
    example = phonenumbers.example_number_for_type(region, kind)
    digits = phonenumbers.national_significant_number(example)
    for keep in (3, 3, 4, 4, 5, 6):
        number = phonenumbers.parse(f"+{example.country_code}{digits[:keep]}{some_digits(chance, len(digits) - keep)}")
        if phonenumbers.is_valid_number(number):
            return number
    return example


def phone_abroad(chance: Chance) -> Positive:
    """+ or 00 and a country code, of 48 countries, in the spellings people use."""
    number = a_phone(chance, chance.choice(REGIONS + ABROAD))
    text = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    compact = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    code = f"+{number.country_code}"
    value = chance.choice(
        (
            text,
            text,
            compact,
            compact,
            text.replace(" ", "-"),
            text.replace(" ", ".").replace("-", "."),
            "00" + compact[1:],
            "00" + text[1:].replace("-", " "),
            text.replace(code, f"({code})", 1),
            text.replace("-", " "),
            text.replace(" ", "\u00a0"),
            compact[: len(code)] + " " + compact[len(code) :],
            text.replace(f"{code} ", f"{code} (0)", 1) if number.country_code in (44, 49, 33, 31, 43) else text,
        )
    )
    return framed("PHONE", value, chance.choice(PEOPLE_FRAMES + PHONE_FRAMES))


def phone_trunk(chance: Chance) -> Positive:
    """National with the leading 0, grouped as the country does, otherwise, or not at all."""
    number = a_phone(chance, chance.choice(TRUNK))
    text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    compact = "".join(filter(str.isdigit, text))
    value = chance.choice(
        (
            text,
            text,
            text,
            compact,
            text.replace(" ", "-"),
            text.replace("-", "."),
            text.replace(" ", "."),
            text.replace("-", " "),
            text.replace(" ", "/", 1),
            _grouped(chance, compact),
            _grouped(chance, compact),
            text.replace("-", "–"),
        )
    )
    return framed("PHONE", value, chance.choice(PEOPLE_FRAMES + PHONE_FRAMES))


def _grouped(chance: Chance, digits: str) -> str:
    """Area code, then groups of two to four, with one separator."""
    area = chance.choice((3, 4, 5))
    separator, parts, rest = chance.choice(" -."), [digits[:area]], digits[area:]
    while rest:
        size = len(rest) if len(rest) <= 4 else chance.choice((2, 3, 4) if len(rest) > 5 else (2, 3))
        parts.append(rest[:size])
        rest = rest[size:]
    return separator.join(parts)


def phone_us(chance: Chance) -> Positive:
    """US and Canadian numbers, written every way that has separators."""
    digits = phonenumbers.national_significant_number(a_phone(chance, chance.choice(("US", "CA"))))
    a, b, c = digits[:3], digits[3:6], digits[6:]
    value = chance.choice(
        (
            f"({a}) {b}-{c}",
            f"{a}-{b}-{c}",
            f"{a}.{b}.{c}",
            f"{a} {b} {c}",
            f"1-{a}-{b}-{c}",
            f"({a}){b}-{c}",
            f"1 ({a}) {b}-{c}",
            f"{a}-{b}-{c} x{chance.randint(1, 999)}",
            f"({a}) {b}-{c} ext. {chance.randint(1, 9999)}",
            f"{a}/{b}-{c}",
            f"({a}) {b}.{c}",
            f"{a} {b}-{c}",
        )
    )
    return framed("PHONE", value, chance.choice(PEOPLE_FRAMES + PHONE_FRAMES))


def phone_shaped(chance: Chance) -> Positive:
    """Chinese, Indian, Brazilian, Spanish mobiles in their countries' own grouping."""
    region = chance.choice(("CN", "IN", "BR", "ES"))
    while True:
        number = a_phone(chance, region)
        if phonenumbers.number_type(number) == PhoneNumberType.MOBILE:
            break
    n = phonenumbers.national_significant_number(number)
    value = {
        "CN": f"{n[:3]} {n[3:7]} {n[7:]}",
        "IN": f"{n[:5]} {n[5:]}",
        "BR": f"({n[:2]}) {n[2:7]}-{n[7:]}",
        "ES": f"{n[:3]} {n[3:5]} {n[5:7]} {n[7:]}",
    }[region]
    return framed("PHONE", value, chance.choice(PEOPLE_FRAMES))


def phone_labelled(chance: Chance) -> Positive:
    """Any national number of the regions, bare or grouped, behind a word that says what it is."""
    number = a_phone(chance, chance.choice(REGIONS))
    text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    compact = "".join(filter(str.isdigit, text))
    return framed("PHONE", chance.choice((text, compact, text.replace("-", " "))), chance.choice(PHONE_FRAMES))
