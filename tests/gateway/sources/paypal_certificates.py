"""A certificate authority of our own, and what PayPal's signature looks like under it."""

import base64
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

URL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-5e1"
NAME = "messageverificationcerts.sandbox.paypal.com"
ISSUER_URL = "http://cacerts.digicert.com/ExampleIssuer.crt"
WEBHOOK_ID = "4JH86294D6297924G"
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
VALID = timedelta(days=365)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@cache
def authority_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def authority(name: str, issuer: str) -> x509.Certificate:
    """A certificate authority's certificate, signed by `issuer`, which may be itself."""
    builder = _builder(name, issuer, authority_key(name), MADE_AT, MADE_AT + VALID)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = dict.fromkeys(
        "content_commitment key_encipherment data_encipherment key_agreement encipher_only decipher_only".split(),
        False,
    )
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True
    )
    return builder.sign(authority_key(issuer), SHA256())


def leaf(
    name: str = NAME,
    issuer: str = "issuer",
    *,
    key: Key | None = None,
    until: datetime = MADE_AT + VALID,
    is_known: bool = True,
) -> x509.Certificate:
    """A signing certificate for a host's name; `is_known`: it says where its issuer's certificate is."""
    key = key or signing_key()
    builder = _builder(name, issuer, key, MADE_AT, until)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if is_known:
        where = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(ISSUER_URL)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([where]), critical=False)
    return builder.sign(authority_key(issuer), SHA256())


def _builder(name: str, issuer: str, key: Key, since: datetime, until: datetime) -> x509.CertificateBuilder:
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key(issuer).public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(issuer_key, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


@cache
def root() -> x509.Certificate:
    return authority("root", "root")


@cache
def issuer() -> x509.Certificate:
    return authority("issuer", "root")


def options(**given: str) -> dict[str, str]:
    """What a tenant trusts PayPal's messages with: our root in the place of the usual ones."""
    return {"webhook_id": WEBHOOK_ID, "roots": pem(root()).decode(), **given}


def signed(raw: bytes, webhook_id: str = WEBHOOK_ID, *, key: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
    """The headers with which PayPal would send `raw`."""
    transmission_id, transmitted_at = "b2384410-f8d2-11e4-8bf3-77339302725b", "2026-03-01T12:00:00Z"
    message = f"{transmission_id}|{transmitted_at}|{webhook_id}|{zlib.crc32(raw)}".encode()
    signature = (key or signing_key()).sign(message, padding.PKCS1v15(), SHA256())
    return {
        "paypal-transmission-id": transmission_id,
        "paypal-transmission-time": transmitted_at,
        "paypal-transmission-sig": base64.b64encode(signature).decode(),
        "paypal-cert-url": URL,
        "paypal-auth-algo": "SHA256withRSA",
    }
