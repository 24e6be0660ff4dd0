"""Taking out of a text what names or opens something: addresses, numbers, keys. What is left still trains a model.

It errs on the side of taking out too much, never knows names of people, and takes linear time on any text: no pattern
can match a stretch of text in more ways than one (possessive quantifiers, and starts that cannot lie inside a run).
"""

import ipaddress
import re

_URL = re.compile(r"(?<![\w+.-])[A-Za-z][\w+.-]{0,15}://[^\s<>\"']++")
_EMAIL = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]++@[\w-]++(?:\.[\w-]++)++")
_SECRET = re.compile(
    r"(?i)\b(password|passwd|passwort|pwd|secret|api[_-]?key|access[_-]?token|token)[ \t]{0,3}[:=][ \t]{0,3}[^\s,;]++"
)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_IBAN = re.compile(r"(?i)(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}+(?:[ -]?[A-Z0-9]{1,3})?+(?!\w)")
_KEY = re.compile(r"(?<![A-Za-z0-9_+/=~-])[A-Za-z0-9_+/=~-]{20,}+")
_UUID = re.compile(r"(?i)(?<!\w)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?!\w)")
_NUMBER = re.compile(r"(?<![\w+(.])[+(]{0,2}+\d++(?:[ ().-]{0,2}+\d++)*+(?!\w)")

_DIGIT = re.compile(r"\d")
_LETTERS_AND_DIGITS = re.compile(r"[A-Za-z0-9]{16,}+")
_LONG_DIGITS = re.compile(r"\d{7,}+")
_CARD = re.compile(r"\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}")
_DATE = re.compile(r"\d{1,4}([.-])\d{1,2}\1\d{1,4}(?: \d{1,2})?")
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d(?:[ -]{1,2}(?:1[5-9]|20)\d\d)*+")
_THOUSANDS = re.compile(r"\d{1,3}(?:([ .])\d{3})(?:\1\d{3})*+")
_GROUPS = re.compile(r"\d++")


def scrub(text: str) -> str:
    """Return `text` with placeholders for e-mail addresses, phone, card and account numbers, IP addresses, keys.

    Of addresses of the web, credentials, query and fragment go and the rest stays.

    >>> scrub("Ask jane@example.org or +49 30 1234567, see https://example.org/a?user=jane")
    'Ask [email] or [phone], see https://example.org/a?[query]'
    """
    if "://" in text:
        text = _URL.sub(_bare_url, text)
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    if ":" in text or "=" in text:
        text = _SECRET.sub(r"\1: [secret]", text)
    if _DIGIT.search(text) is None:
        return text  # every kind below has one, and most texts have none
    text = _UUID.sub("[key]", text)
    text = _IPV4.sub(_address, text)
    text = _IPV6.sub(_address, text)
    text = _IBAN.sub(_iban, text)
    text = _KEY.sub(_key, text)
    return _NUMBER.sub(_number, text)


def _bare_url(match: re.Match[str]) -> str:
    scheme, _, rest = match[0].partition("://")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    start = f"{scheme}://{'[credentials]@' if at else ''}"
    body = f"{host}{slash}{path}"
    cut = min((place for mark in "?#" if (place := body.find(mark)) >= 0), default=len(body))
    return f"{start}{body[:cut]}{'?[query]' if cut < len(body) else ''}"


def _address(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]  # a time of day, a version
    return "[ip]" if _DIGIT.search(match[0]) else match[0]


def _iban(match: re.Match[str]) -> str:
    return "[iban]" if sum(map(str.isdigit, match[0])) >= 8 else match[0]


def _key(match: re.Match[str]) -> str:
    """Return a placeholder for a run with a stretch of letters and digits mixed, as no word has."""
    for stretch in _LETTERS_AND_DIGITS.findall(match[0]):
        if not stretch.isdigit() and not stretch.isalpha():
            return "[key]"
    return match[0]


def _number(match: re.Match[str]) -> str:
    """Return what stands for a run of digits and separators: dates, years and amounts stay."""
    run = match[0]
    digits = "".join(_GROUPS.findall(run))
    count = len(digits)
    if count < 7 or any(pattern.fullmatch(run) for pattern in (_DATE, _YEARS, _THOUSANDS)):
        return run
    if 13 <= count <= 19 and _luhn(digits):
        return "[card]"
    if count <= 15 and (run[0] in "+(0" or _is_grouped(run)):
        return "[phone]"
    return _LONG_DIGITS.sub("[number]", _CARD.sub("[card]", run) if count > 15 else run)


def _is_grouped(run: str) -> bool:
    groups = _GROUPS.findall(run)
    return 2 <= len(groups) <= 6 and min(map(len, groups)) >= 2


def _luhn(digits: str) -> bool:
    """Return whether the check digit of a card number is right (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0
