"""Numbers that a state gives to a person, valid by `python-stdnum`, bare where people name them and alone."""

from collections.abc import Callable
from importlib import import_module

from .positive import PEOPLE_FRAMES, Chance, Make, Positive, framed, letters, some_digits, take


def valid(chance: Chance, module: str, draw: Make) -> str:
    check = import_module(f"stdnum.{module}")
    while True:
        value = draw(chance)
        if check.is_valid(value):
            return value


def _date(chance: Chance) -> tuple[str, str, str]:
    """(yy, mm, dd) of a birth."""
    return f"{chance.randint(40, 99)}", f"{chance.randint(1, 12):02}", f"{chance.randint(1, 28):02}"


def _ymd(chance: Chance) -> str:
    return "".join(_date(chance))


def _dmy(chance: Chance) -> str:
    return "".join(reversed(_date(chance)))


def _rrn(chance: Chance) -> str:
    # Those given out since October 2020 have no check digit, so none is made.
    if chance.random() < 0.3:
        date = f"{chance.randint(20, 24)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
        return f"{date}-{chance.choice('3478')}{some_digits(chance, 6)}"
    return f"{_ymd(chance)}-{chance.choice('1256')}{some_digits(chance, 6)}"


def identity(kind: str, make: Make, *frames: str) -> Callable[[Chance], Positive]:
    """A maker of positives of `kind`: in `frames`, or, where there are none, in any talk."""
    return lambda chance: framed(kind, make(chance), chance.choice(frames or PEOPLE_FRAMES))


def _either(*makes: Make) -> Make:
    return lambda chance: chance.choice(makes)(chance)


IDENTITIES = (
    identity("KR_RRN", _rrn),
    identity("KR_RRN", lambda c: valid(c, "kr.rrn", lambda c: f"{_ymd(c)}{c.choice('12')}{some_digits(c, 6)}")),
    identity(
        "KR_RRN",
        lambda c: _rrn(c).replace("-", ""),
        "주민등록번호 {}",
        "주민번호는 {}입니다",
        "외국인등록번호: {}",
        "resident registration number {}",
    ),
    identity(
        "US_SSN", lambda c: valid(c, "us.ssn", lambda c: f"{some_digits(c, 3)}-{some_digits(c, 2)}-{some_digits(c, 4)}")
    ),
    identity(
        "US_SSN",
        lambda c: valid(c, "us.ssn", lambda c: f"{some_digits(c, 3)}-{some_digits(c, 2)}-{some_digits(c, 4)}").replace(
            "-", " "
        ),
    ),
    identity(
        "US_SSN",
        lambda c: valid(c, "us.ssn", lambda c: some_digits(c, 9)),
        "SSN {}",
        "my SSN is {}",
        "ssn: {}",
        "Social Security Number: {}",
        "social security no. {}",
        '"ssn": "{}"',
    ),
    identity(
        "US_ITIN",
        lambda c: valid(c, "us.itin", lambda c: f"9{some_digits(c, 2)}-{some_digits(c, 2)}-{some_digits(c, 4)}"),
    ),
    identity(
        "UK_NINO",
        lambda c: (
            f"{c.choice('ACEHJLMPRSTWXY')}{c.choice('ABCEHJLMPRSWXYZ')}{c.choice((' ', ''))}{some_digits(c, 6)}"
            f"{c.choice('ABCD')}"
        ),
    ),
    identity(
        "UK_NINO",
        lambda c: (
            f"{c.choice('ACEHJLMPRSWXY')}{c.choice('ABCEHJLMPRSWXYZ')} {some_digits(c, 2)} {some_digits(c, 2)} "
            f"{some_digits(c, 2)} {c.choice('ABCD')}"
        ),
    ),
    identity(
        "UK_NHS",
        lambda c: valid(c, "gb.nhs", lambda c: some_digits(c, 10)),
        "NHS number {}",
        "NHS no. {}",
        "my NHS number is {}",
        "NHS: {}",
    ),
    identity(
        "FR_NIR",
        lambda c: valid(
            c, "fr.nir", lambda c: f"{c.choice('12')}{some_digits(c, 2)}{c.randint(1, 12):02}{some_digits(c, 10)}"
        ),
    ),
    identity(
        "DE_TAX_ID",
        lambda c: valid(c, "de.idnr", lambda c: some_digits(c, 11)),
        "Steuer-ID: {}",
        "Steueridentifikationsnummer {}",
        "IdNr. {}",
        "meine Steuer-ID ist {}",
        "German tax ID {}",
    ),
    identity(
        "ES_DNI",
        _either(
            lambda c: valid(c, "es.dni", lambda c: some_digits(c, 8) + letters(c, 1)),
            lambda c: valid(c, "es.nie", lambda c: c.choice("XYZ") + some_digits(c, 7) + letters(c, 1)),
        ),
    ),
    identity(
        "IT_CF",
        lambda c: valid(
            c,
            "it.codicefiscale",
            lambda c: (
                f"{letters(c, 6)}{some_digits(c, 2)}{c.choice('ABCDEHLMPRST')}{c.randint(1, 28):02}"
                f"{c.choice('ABCDEFGHIL')}{some_digits(c, 3)}{letters(c, 1)}"
            ),
        ),
    ),
    identity(
        "BR_CPF",
        lambda c: valid(
            c, "br.cpf", lambda c: f"{some_digits(c, 3)}.{some_digits(c, 3)}.{some_digits(c, 3)}-{some_digits(c, 2)}"
        ),
    ),
    identity(
        "BR_CPF",
        lambda c: valid(c, "br.cpf", lambda c: some_digits(c, 11)),
        "CPF {}",
        "CPF: {}",
        "meu CPF é {}",
        "cpf={}",
    ),
    identity(
        "CN_ID",
        lambda c: valid(
            c,
            "cn.ric",
            lambda c: (
                f"{c.choice(('110101', '310101', '440106', '510104'))}19{_ymd(c)}{some_digits(c, 3)}"
                f"{c.choice('0123456789X')}"
            ),
        ),
    ),
    identity(
        "IN_AADHAAR",
        lambda c: (lambda n: f"{n[:4]} {n[4:8]} {n[8:]}")(valid(c, "in_.aadhaar", lambda c: some_digits(c, 12))),
    ),
    identity(
        "IN_AADHAAR",
        lambda c: valid(c, "in_.aadhaar", lambda c: some_digits(c, 12)),
        "Aadhaar {}",
        "aadhaar number: {}",
        "my Aadhaar is {}",
        "UIDAI: {}",
    ),
    identity(
        "IN_PAN",
        lambda c: valid(c, "in_.pan", lambda c: f"{letters(c, 3)}P{letters(c, 1)}{some_digits(c, 4)}{letters(c, 1)}"),
    ),
    identity(
        "CA_SIN",
        lambda c: (lambda n: c.choice((n, f"{n[:3]}-{n[3:6]}-{n[6:]}", f"{n[:3]} {n[3:6]} {n[6:]}")))(
            valid(c, "ca.sin", lambda c: some_digits(c, 9))
        ),
        "SIN {}",
        "SIN: {}",
        "my SIN is {}",
        "Social Insurance Number {}",
    ),
    identity(
        "NL_BSN",
        lambda c: valid(c, "nl.bsn", lambda c: some_digits(c, 9)),
        "BSN {}",
        "BSN: {}",
        "mijn bsn is {}",
        "Burgerservicenummer: {}",
    ),
    identity(
        "PL_PESEL",
        lambda c: valid(c, "pl.pesel", lambda c: _ymd(c) + some_digits(c, 5)),
        "PESEL {}",
        "PESEL: {}",
        "my pesel is {}",
        "nr PESEL: {}",
    ),
    identity(
        "SE_PNR",
        lambda c: valid(c, "se.personnummer", lambda c: f"{c.choice(('', '19'))}{_ymd(c)}-{some_digits(c, 4)}"),
    ),
    identity(
        "DK_CPR",
        lambda c: valid(c, "dk.cpr", lambda c: f"{_dmy(c)}{c.choice(('-', ''))}{some_digits(c, 4)}"),
        "CPR {}",
        "CPR-nummer: {}",
        "CPR nr. {}",
        "mit CPR: {}",
    ),
    identity(
        "FI_HETU",
        lambda c: valid(
            c, "fi.hetu", lambda c: f"{_dmy(c)}-{some_digits(c, 3)}{take(c, '0123456789ABCDEFHJKLMNPRSTUVWXY', 1)}"
        ),
    ),
    identity(
        "NO_FNR", lambda c: valid(c, "no.fodselsnummer", lambda c: f"{_dmy(c)}{c.choice(('', ' '))}{some_digits(c, 5)}")
    ),
    identity(
        "CH_AHV",
        lambda c: valid(c, "ch.ssn", lambda c: f"756.{some_digits(c, 4)}.{some_digits(c, 4)}.{some_digits(c, 2)}"),
    ),
    identity(
        "BE_NN", lambda c: valid(c, "be.nn", lambda c: f"{'.'.join(_date(c))}-{some_digits(c, 3)}.{some_digits(c, 2)}")
    ),
    identity("CZ_RC", lambda c: valid(c, "cz.rc", lambda c: f"{_ymd(c)}/{some_digits(c, 4)}")),
    identity(
        "MX_CURP",
        lambda c: valid(
            c,
            "mx.curp",
            lambda c: (
                f"{letters(c, 1)}{c.choice('AEIOU')}{letters(c, 2)}{_ymd(c)}{c.choice('HM')}"
                f"{c.choice(('DF', 'JC', 'NL'))}{take(c, 'BCDFGHJKLM', 3)}{some_digits(c, 2)}"
            ),
        ),
    ),
    identity(
        "TR_TCKN",
        lambda c: valid(c, "tr.tckimlik", lambda c: some_digits(c, 11)),
        "TCKN {}",
        "T.C. Kimlik No: {}",
        "kimlik numarası {}",
        "TC kimlik no {}",
    ),
    identity(
        "JP_MY_NUMBER",
        lambda c: (lambda n: c.choice((n, f"{n[:4]} {n[4:8]} {n[8:]}", f"{n[:4]}-{n[4:8]}-{n[8:]}")))(
            valid(c, "jp.in_", lambda c: some_digits(c, 12))
        ),
        "マイナンバーは{}です",
        "個人番号: {}",
        "My Number: {}",
    ),
    identity(
        "AU_TFN",
        lambda c: valid(c, "au.tfn", lambda c: some_digits(c, 9)),
        "TFN {}",
        "TFN: {}",
        "my tax file number is {}",
        "Tax File Number: {}",
    ),
    identity(
        "ZA_ID",
        lambda c: valid(c, "za.idnr", lambda c: f"{_ymd(c)}{some_digits(c, 4)}{c.choice('01')}8{some_digits(c, 1)}"),
        "South African ID {}",
        "ID number: {}",
        "SA ID no. {}",
        "my ID number is {}",
    ),
)
