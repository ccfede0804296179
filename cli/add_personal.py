"""Which columns may hold personal data, by name and by what a sample looks like; and how each is kept. Pure, and on the side of caution."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cli.add_described import Contents, Kind
from shared.spec.lake import Mask

MASK_OF: Mapping[Kind, Mask] = {
    **dict.fromkeys(("email", "ip", "national_id", "login"), "hmac"),  # equal stays equal: rows can still be joined and counted
    **dict.fromkeys(("phone", "card", "account"), "partial"),
    **dict.fromkeys(("name", "address", "birth", "secret", "location", "free_text", "structured"), "redact"),
}
_WORDS: Mapping[Kind, str] = {
    "secret": "password passwd pwd secret token apikey pin otp cvv cvc passphrase",
    "national_id": "ssn nin nino passport taxid vat licence license nric bsn cpf",
    "account": "iban bic swift acct bankaccount",
    "card": "card pan creditcard ccnumber cc",
    "email": "email mail emails mails",
    "phone": "phone phones telephone tel mobile cell fax msisdn phonenumber whatsapp",
    "ip": "ip ipaddress ipaddr ipv4 ipv6",
    "birth": "birth birthday birthdate dob born",
    "address": "address addr street city town zip zipcode postcode postal house address1 address2 shipto billto",
    "login": "username login screenname handle userid",
    "location": "lat latitude lon lng longitude geo gps coordinates geom location",
    "free_text": "note notes comment comments remark remarks message body feedback memo bio about description text subject reason",
}
_PHRASES: Mapping[str, Kind] = {
    **dict.fromkeys(("api_key", "access_key", "private_key"), "secret"),
    **dict.fromkeys(("tax_id", "national_id", "social_security", "tax_number", "id_number", "id_card"), "national_id"),
    **dict.fromkeys(("account_number", "account_no", "bank_account", "sort_code", "routing_number"), "account"),
    **dict.fromkeys(("ip_address", "remote_addr", "client_addr"), "ip"),
    **dict.fromkeys(("user_name", "screen_name"), "login"),
}
_PERSON_WORDS = "surname firstname lastname fullname middlename forename familyname givenname nickname maiden"
_OF_PERSONS_WORDS = "first last full middle given family maiden nick contact customer user person owner buyer employee patient member"
_OF_THINGS_WORDS = "product file category country currency event brand store shop table column host server domain company plan tier status region"
_ABOUT_WORDS = "id ids type kind status count flag verified confirmed at on ts lang language enabled"
_PERSON, _OF_PERSONS, _OF_THINGS = (frozenset(words.split()) for words in (_PERSON_WORDS, _OF_PERSONS_WORDS, _OF_THINGS_WORDS))
_ABOUT = frozenset(_ABOUT_WORDS.split())  # a column that ends so points at the thing, or says when or how it is, and is not the thing
_TEXTS, _NUMBERS, _DATES = ("string",), ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal"), ("date", "timestamp")
_KINDS_OF_NUMBERS = ("phone", "card", "account", "national_id", "address", "location", "secret")

_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?")  # a leading zero is a code's
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE = re.compile(r"(\+|\(|\d)[\d ()/-]{5,20}\d")
_DATE = re.compile(r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}.*")
_PERSONS = re.compile(r"[^\W\d_]+([ '-][^\W\d_]+){1,3}")
_STREET = re.compile(
    r"\b(street|st\.?|road|rd\.?|avenue|ave\.?|lane|drive|square|platz|weg|allee|rue|via|calle|\w+(stra(ss|ß)e|str\.))(?![a-z])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What a column may hold. Not `sure`: somebody must decide, and until then it is masked."""

    kind: Kind
    sure: bool
    why: str


def suspected(name: str, spark_type: str, source_type: str, contents: Contents | None) -> Suspicion | None:
    """What a column is taken for; None where nothing speaks for personal data."""
    if source_type in ("inet", "cidr"):
        return Suspicion(kind="ip", sure=True, why=f"its type is {source_type}")
    if spark_type == "string" and re.match(r"(json|xml|hstore|tsvector|record|.*\[\])", source_type):
        return Suspicion(kind="structured", sure=False, why=f"{source_type} may hold anything")
    if re.match(r"(point|path|polygon|geometry|geography|box|circle|line|lseg)\b", source_type):
        return Suspicion(kind="location", sure=False, why=f"its type is {source_type}")
    by_content = _by_content(contents)
    by_name = _by_name(name, spark_type)
    if by_name is None or (by_content is not None and by_content.sure):
        return by_content
    return by_name


def contents_of(values: Iterable[str | None]) -> Contents:
    """What the values look like; the values themselves are let go."""
    rows = list(values)
    filled = [value.strip() for value in rows if value is not None]
    looks = {kind: sum(1 for value in filled if looks_like(value)) / len(filled) for kind, (looks_like, _, _) in _LOOKS.items() if filled}
    found = {kind: share for kind, share in looks.items() if share}
    numbers = sum(1 for value in filled if _NUMBER.fullmatch(value))
    return Contents(rows=len(rows), filled=len(filled), distinct=len(set(filled)), numbers=numbers, looks_like=found)


# ---- by name


def _by_name(name: str, spark_type: str) -> Suspicion | None:
    kind, sure = _named(name)
    if kind is None or not _fits(kind, spark_type):
        return None
    return Suspicion(kind=kind, sure=sure, why="its name")


def _named(name: str) -> tuple[Kind | None, bool]:
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    for phrase, kind in _PHRASES.items():
        if phrase in name.lower():
            return kind, True
    if set(words) & set(_WORDS["birth"].split()):
        return "birth", True
    if not words or words[-1] in _ABOUT:
        return None, False
    for kind, listed in _WORDS.items():
        if set(words) & set(listed.split()):
            return kind, kind not in ("free_text", "address", "location") or bool({"address", "street"} & set(words))
    if set(words) & _PERSON or (words[-1] == "name" and set(words) & _OF_PERSONS):
        return "name", True
    return ("name", False) if words[-1] == "name" and not set(words) & _OF_THINGS else (None, False)


def _fits(kind: Kind, spark_type: str) -> bool:
    head = spark_type.split("(")[0]
    return head in _TEXTS or (head in _NUMBERS and kind in _KINDS_OF_NUMBERS) or (head in _DATES and kind == "birth")


# ---- by content


def _by_content(contents: Contents | None) -> Suspicion | None:
    if contents is None:
        return None
    for kind, (_, certain, doubtful) in _LOOKS.items():
        share = contents.looks_like.get(kind, 0.0)
        if share and share >= doubtful:
            sure = share >= certain
            held: Kind = kind if sure or kind != "email" else "free_text"
            return Suspicion(kind=held, sure=sure, why=f"{share:.0%} of a sample looks like {kind.replace('_', ' ')}")
    return None


def _is_card(value: str) -> bool:
    digits = re.sub(r"[ -]", "", value)
    if not digits.isdecimal() or not 13 <= len(digits) <= 19:
        return False
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _is_iban(value: str) -> bool:
    plain = value.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", plain):
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _is_ip(value: str) -> bool:
    if value.count(".") != 3 and value.count(":") < 2:
        return False
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return False
    return True


def _is_phone(value: str) -> bool:
    digits = sum(char.isdecimal() for char in value)
    written = value.startswith("+") or any(char in value for char in " ()/-")
    return 7 <= digits <= 15 and written and _PHONE.fullmatch(value) is not None and _DATE.fullmatch(value) is None


def _is_person(value: str) -> bool:
    return _PERSONS.fullmatch(value) is not None and all(word[:1].isupper() for word in re.split(r"[ ]", value))


def _is_address(value: str) -> bool:
    return any(char.isdecimal() for char in value) and _STREET.search(value) is not None


# How a value is known, from which share on it is certain, and from which on it is in doubt; a doubt that grows past 1 is never certain.
_LOOKS: Mapping[Kind, tuple[Callable[[str], bool], float, float]] = {
    "email": (lambda value: _EMAIL.search(value) is not None, 0.5, 0.0),
    "account": (_is_iban, 0.5, 0.0),
    "card": (_is_card, 0.5, 0.25),  # a tenth of all long numbers passes the check digit
    "ip": (_is_ip, 0.5, 0.05),
    "phone": (_is_phone, 0.9, 0.25),
    "address": (_is_address, 2.0, 0.2),
    "name": (_is_person, 2.0, 0.5),
}
