"""Payment cards and IBANs, with right and with wrong check digits."""

import string

from stdnum import iban, luhn

from .positive import PEOPLE_FRAMES, Chance, Positive, framed, some_digits, take


def card(chance: Chance) -> Positive:
    """Visa, Mastercard, Amex, Discover, JCB, Diners, UnionPay, bare or in groups, with expiry or code behind."""
    prefix, length = chance.choice(
        (
            ("4", 16),
            ("4", 16),
            ("4", 16),
            (str(chance.randint(51, 55)), 16),
            (str(chance.randint(2221, 2720)), 16),
            (chance.choice(("34", "37")), 15),
            ("6011", 16),
            ("65", 16),
            (str(chance.randint(3528, 3589)), 16),
            ("36", 14),
            ("62", 16),
        )
    )
    body = prefix + some_digits(chance, length - len(prefix) - 1)
    digits = body + luhn.calc_check_digit(body)
    separator = chance.choice(("", " ", " ", "-"))
    cuts = {16: (4, 8, 12), 15: (4, 10), 14: (4, 10)}[length]
    value = separator.join(digits[start:end] for start, end in zip((0, *cuts), (*cuts, length), strict=True))
    frames = (
        *PEOPLE_FRAMES,
        "card: {} exp 12/27",
        "Karte {}, gültig bis 08/26",
        "cc={}&x=1",
        "카드번호 {} 입니다",
        "{} 12/29",
    )
    return framed("CARD", value, chance.choice(frames))


IBAN_COUNTRIES = (
    "DE",
    "GB",
    "FR",
    "NL",
    "ES",
    "IT",
    "BE",
    "CH",
    "AT",
    "PL",
    "SE",
    "NO",
    "DK",
    "FI",
    "PT",
    "IE",
    "GR",
    "TR",
    "SA",
    "AE",
    "BR",
    "CZ",
    "MT",
    "LU",
)


def an_iban(chance: Chance) -> str:
    country = chance.choice(IBAN_COUNTRIES)
    structure = iban._ibandb.info(country + "00")[0][1]["bban"]
    while True:
        bban = "".join(
            take(
                chance,
                {"n": string.digits, "a": string.ascii_uppercase, "c": string.ascii_uppercase + string.digits}[kind],
                int(size),
            )
            for size, kind in iban._struct_re.findall(structure)
        )
        number = country + iban.calc_check_digits(country + "00" + bban) + bban
        if iban.is_valid(number):
            return number


def bank_account(chance: Chance) -> Positive:
    """IBANs of 24 countries: in fours, in one, in lower case, with dashes."""
    number = an_iban(chance)
    value = chance.choice(
        (number, number, iban.format(number), iban.format(number), number.lower(), iban.format(number, "-"))
    )
    frames = (
        *PEOPLE_FRAMES,
        "IBAN: {}",
        "IBAN {} BIC COBADEFFXXX",
        "Konto {} bei der Bank",
        "please pay to {} by Friday",
    )
    return framed("IBAN", value, chance.choice(frames))
