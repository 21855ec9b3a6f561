"""PayPal's signing certificate: where it may lie, and whether a chain of certificates vouches for it.

PayPal's URL gives the signing certificate alone, without the certificate authority's that issued it (recorded in 2015
and 2024). What is missing lies where the certificate itself says (RFC 5280, 4.2.2.1): `issuer_url`.
"""

import re
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import AuthorityInformationAccessOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

# Whom the signing certificates name, live and in the sandbox. Any name under paypal.com would do for a reader, and one
# that was taken over, with a certificate of its own, would do for a forger.
NAMES = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})

_URL_RE = re.compile(r"https://(?:[a-z0-9-]+\.)*paypal\.com(?::443)?/[A-Za-z0-9/_.~-]{1,300}")
_ISSUER_URL_RE = re.compile(r"http://cacerts\.digicert\.com/[A-Za-z0-9_.-]{1,100}")
_PEM_RE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_CHAIN_MAX = 4


def certificate_url(headers: Mapping[str, str]) -> str:
    """The certificate that a message was signed with: HTTPS, on a host of PayPal's; else empty.

    Whoever fetches it must not follow redirects, which could lead anywhere.
    """
    url = headers.get("paypal-cert-url", "")
    return url if _URL_RE.fullmatch(url) else ""


def issuer_url(chain: bytes) -> str:
    """Where the certificate is that a PEM chain lacks; empty if it is complete, or does not say where on from there.

    Plain HTTP, as certificate authorities serve their own: the signatures in the chain prove what comes from there.
    """
    certificates = _certificates(chain)
    if not 0 < len(certificates) < _CHAIN_MAX:
        return ""
    last = certificates[-1]
    if last.issuer in {root.subject for root in _default_roots()} or last.issuer == last.subject:
        return ""
    try:
        access = last.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ""
    urls = [
        each.access_location.value
        for each in access
        if each.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(each.access_location, x509.UniformResourceIdentifier)
    ]
    return next((url for url in urls if _ISSUER_URL_RE.fullmatch(url)), "")


def with_issuer(chain: bytes, issuer: bytes) -> bytes:
    """The chain and the certificate from `issuer_url`, which is DER (RFC 5280, 4.2.2.1) or PEM; as PEM."""
    if _PEM_RE.search(issuer):
        return chain.rstrip() + b"\n" + issuer
    try:
        return chain.rstrip() + b"\n" + x509.load_der_x509_certificate(issuer).public_bytes(Encoding.PEM)
    except ValueError:
        return chain


def signing_key(chain: bytes, *, roots: str, now: datetime) -> RSAPublicKey | None:
    """The key of a chain's first certificate, if that is PayPal's, valid now, and leads to a root that is trusted.

    Args:
        chain: PEM, the signing certificate first, then its issuers in any order.
        roots: PEM, whom to trust; empty for Mozilla's list (`certifi`).
        now: aware; the whole chain must be valid then.
    """
    certificates = _certificates(chain)
    store = _store(roots)
    if not certificates or store is None:
        return None
    leaf, *issuers = certificates
    policy = PolicyBuilder().store(store).time(now.astimezone(UTC).replace(tzinfo=None)).max_chain_depth(_CHAIN_MAX)
    key = leaf.public_key()
    for name in _names(leaf) & NAMES:
        try:
            policy.build_server_verifier(x509.DNSName(name)).verify(leaf, issuers)
        except VerificationError:
            continue
        return key if isinstance(key, RSAPublicKey) else None
    return None


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return set()
    return set(names.get_values_for_type(x509.DNSName))


@lru_cache(maxsize=32)
def _certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM text, but for those that break the rules of their own format."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for each in _PEM_RE.findall(pem):
            try:
                found.append(x509.load_pem_x509_certificate(each))
            except (ValueError, CryptographyDeprecationWarning):
                continue
    return tuple(found)


@cache
def _default_roots() -> tuple[x509.Certificate, ...]:
    return _certificates(Path(certifi.where()).read_bytes())


@lru_cache(maxsize=8)
def _store(roots: str) -> Store | None:
    trusted = _certificates(roots.encode()) if roots else _default_roots()
    return Store(list(trusted)) if trusted else None
