"""What the scrubber does not claim to find, so that the size of the gaps is known."""

import string

import phonenumbers
from phonenumbers import PhoneNumberFormat

from .identities import valid
from .look_alikes import iso_date, one_of
from .phones import a_phone
from .positive import ALNUM, HEX, Make, letters, some_digits, take

GAPS: dict[str, Make] = {
    "name": one_of("Kim Minji", "John Smith", "김민지", "Jürgen Müller"),
    "postal address": lambda c: f"{c.randint(1, 999)} Main Street, Springfield {some_digits(c, 5)}",
    "date of birth": lambda c: f"born {iso_date(c)}",
    "phone without area code": lambda c: f"{c.randint(200, 999)}-{some_digits(c, 4)}",
    "US phone, ten bare digits, no word in front": lambda c: phonenumbers.national_significant_number(a_phone(c, "US")),
    "Polish phone, no word in front": lambda c: phonenumbers.format_number(
        a_phone(c, "PL"), PhoneNumberFormat.NATIONAL
    ),
    "SSN, nine bare digits, no word in front": lambda c: valid(c, "us.ssn", lambda c: some_digits(c, 9)),
    "password of letters alone": lambda c: f"password: {take(c, string.ascii_lowercase, 10)}",
    "key without prefix or word": lambda c: take(c, ALNUM, 32),
    "passport": lambda c: f"passport {letters(c, 1)}{some_digits(c, 8)}",
    "MAC address": lambda c: ":".join(take(c, HEX, 2) for _ in range(6)),
    "key with a Cyrillic а": lambda c: f"gаp_{take(c, ALNUM, 36)}",
}
