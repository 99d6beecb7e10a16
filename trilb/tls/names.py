"""Host names and distinguished names of certificates, as HAProxy matches and writes them. No I/O in here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

_SHORT = {
    NameOID.COMMON_NAME: "CN",
    NameOID.SURNAME: "SN",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "street",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.TITLE: "title",
    NameOID.GIVEN_NAME: "GN",
    NameOID.INITIALS: "initials",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.USER_ID: "UID",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.UNSTRUCTURED_NAME: "unstructuredName",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.BUSINESS_CATEGORY: "businessCategory",
    NameOID.JURISDICTION_COUNTRY_NAME: "jurisdictionC",
    NameOID.JURISDICTION_LOCALITY_NAME: "jurisdictionL",
    NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "jurisdictionST",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
    NameOID.X500_UNIQUE_IDENTIFIER: "x500UniqueIdentifier",
}


def _pairs(name: x509.Name | x509.RelativeDistinguishedName) -> list[tuple[str, str]]:
    return [(_SHORT.get(each.oid, each.oid.dotted_string), str(each.value)) for each in name]


def written(name: x509.Name) -> bytes:
    """A whole distinguished name: `/C=FR/O=Example/CN=www`."""
    return "".join(f"/{key}={value}" for key, value in _pairs(name)).encode()


def entry(name: x509.Name, wanted: str, number: int) -> bytes | None:
    """The value of the `number`th entry called `wanted`, from 1; negative ones count from the end, 0 finds none."""
    found = [value for key, value in _pairs(name) if key.lower() == wanted.lower()]
    try:
        return found[number - 1 if number > 0 else number].encode() if number else None
    except IndexError:
        return None


def rfc2253(name: x509.Name) -> bytes:
    """The name as LDAP writes it and OpenSSL prints it: the last entry first, what is not ASCII in hexadecimal."""
    parts = (reversed(_pairs(part)) for part in reversed(name.rdns))
    return ",".join("+".join(f"{key}={_escaped(value)}" for key, value in part) for part in parts).encode()


def _escaped(text: str) -> str:
    made = ""
    for at, byte in enumerate(text.encode()):
        char = chr(byte)
        if byte < 32 or byte > 126:
            made += f"\\{byte:02X}"
        elif char in ',+"\\<>;' or (char in " #" and at == 0) or (char == " " and at == len(text.encode()) - 1):
            made += f"\\{char}"
        else:
            made += char
    return made


def when(moment: datetime) -> bytes:
    """A certificate's time as ASN.1 writes it: YYMMDDhhmmssZ."""
    return moment.strftime("%y%m%d%H%M%SZ" if 1950 <= moment.year < 2100 else "%Y%m%d%H%M%SZ").encode()


def matches(names: Iterable[str], host: str) -> bool:
    """Is one of a certificate's names for that host? `*.` stands for one label (configuration.txt, `verifyhost`)."""
    host = host.lower().rstrip(".")
    label, _, tail = host.partition(".")
    return any(name == host or (name.startswith("*.") and bool(label and tail) and name[2:] == tail) for name in names)
