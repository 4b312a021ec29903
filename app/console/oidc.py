"""Signing in by OpenID Connect: the authorization code flow with PKCE, with one provider.

Nothing is kept here between the two halves of a sign-in. The browser keeps one random secret in a cookie; state, nonce
and the verifier of PKCE are hashes of it, so that whoever sees one of them knows nothing of the others.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
import unicodedata
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

from app.address import is_loopback
from app.console.users import NAME, ROLES, Identity, Role
from app.private_file import read_private
from app.settings import PREFIX, Settings
from models.errors import CounterfoilError, InvalidInput
from models.pan import contains_card_number

CALLBACK = "/console/oidc/callback"
#: Asymmetric ones only: a token cannot be signed with what is public, or not at all.
_ALGORITHMS = tuple(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512))
#: Seconds to connect and to wait for an answer; that clocks may differ; that what the provider says of itself is kept.
_TIMEOUT, _LEEWAY, _KEPT = (3.0, 5.0), 60, 600.0
_LONGEST_SUBJECT = 255
#: Claim -> what is wrong where it is.
_WRONG = {
    "iss": f"its token is of another issuer than {PREFIX}OIDC_ISSUER",
    "aud": f"its token is for another audience than {PREFIX}OIDC_CLIENT_ID",
    "azp": f"its token is for another audience than {PREFIX}OIDC_CLIENT_ID",
    "nonce": "its token belongs to another sign-in",
    "exp": "its token has expired; are the clocks right?",
    "iat": "its token is of the future; are the clocks right?",
    "nbf": "its token is of the future; are the clocks right?",
}
_log = logging.getLogger(__name__)


class NotSignedIn(CounterfoilError):
    """Somebody is not let in; the message says why, to them and to the log, without any value of a token.

    Attributes:
        subject: that nobody has here, for them alone.
    """

    def __init__(self, message: str, subject: str = "") -> None:
        super().__init__(message)
        self.subject = subject


class Unreachable(NotSignedIn):
    """The provider does not answer as one; the next try may go well."""


class Provider:
    """What vouches for people. Any thread.

    Args:
        settings: of the service, ``oidc_issuer`` among them.

    Attributes:
        host: of the issuer, to be shown.

    Raises:
        InvalidInput: the settings do not fit together, or the extra ``oidc`` is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            import authlib  # noqa: F401, PLC0415 - an extra
            import requests  # noqa: F401, PLC0415
        except ImportError:
            raise InvalidInput(f"{PREFIX}OIDC_ISSUER needs a library: pip install 'counterfoil[oidc]'") from None
        self._issuer = _address("ISSUER", settings.oidc_issuer)
        self._back = _address("REDIRECT_URL", settings.oidc_redirect_url)
        if urlsplit(self._back).path != CALLBACK or "?" in self._back or "#" in self._back:
            raise _wrong("REDIRECT_URL", f"expected where the console is reached, with the path {CALLBACK}")
        self._client = settings.oidc_client_id
        if not self._client:
            raise _wrong("CLIENT_ID", "expected the id of the client that the provider knows the console by")
        self._secret = None
        if (path := settings.oidc_client_secret_file) is not None:
            try:
                self._secret = read_private(path).decode().strip()
            except (OSError, UnicodeDecodeError):
                raise InvalidInput(f"{path}: the secret of OpenID Connect's client cannot be read") from None
        self._role_claim, self._name_claim = settings.oidc_role_claim, settings.oidc_name_claim
        self._roles = _roles(settings.oidc_roles)
        self.host = urlsplit(self._issuer).netloc
        self._metadata: tuple[float, dict[str, Any]] | None = None

    def check(self) -> None:
        """Say in the log where the provider cannot be asked. The service goes on: passwords and scores need none."""
        try:
            self._about()
        except NotSignedIn as error:
            _log.error("%s; until then nobody signs in by OpenID Connect, and each sign-in tries again", error)

    def begin(self) -> tuple[str, str]:
        """A secret for the browser to keep, and where it is to go.

        Raises:
            Unreachable: the provider says not where.
        """
        where = self._about()["authorization_endpoint"]
        secret = secrets.token_urlsafe(32)
        with self._session() as session:
            address, _ = session.create_authorization_url(
                where,
                state=_derived(secret, "state"),
                nonce=_derived(secret, "nonce"),
                code_verifier=_derived(secret, "verifier"),
            )
        return secret, address

    def finish(self, secret: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Who came back, as the checked claims of an ID token.

        Args:
            secret: that the browser kept; "" where it kept none.
            query: that it came back with.

        Raises:
            NotSignedIn: they began no sign-in here, the provider refused, or its token is not good.
        """
        if not secret or not compare_digest(_derived(secret, "state").encode(), query.get("state", "").encode()):
            raise NotSignedIn("This sign-in did not begin in this browser, or too long ago. Sign in again")
        if query.get("iss", self._issuer) != self._issuer:
            raise NotSignedIn(f"The answer came from another issuer than {PREFIX}OIDC_ISSUER")
        if "error" in query or not query.get("code"):
            raise NotSignedIn(f"{self.host} did not sign you in")
        about = self._about()
        token = self._token(about, query["code"], _derived(secret, "verifier"))
        return self._claims(about, token, _derived(secret, "nonce"))

    def identity(self, claims: Mapping[str, Any]) -> Identity:
        """Who it is, for good: names and addresses change, the subject does not."""
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or contains_card_number(subject):
            raise NotSignedIn(f"{self.host} calls you by no subject that can be kept")
        return Identity(issuer=self._issuer, subject=subject)

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """The role with the most rights that the claim gives; None where roles are the users file's.

        Raises:
            NotSignedIn: it gives none.
        """
        if not self._role_claim:
            return None
        value: Any = claims
        for part in [self._role_claim] if self._role_claim in claims else self._role_claim.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        values = value if isinstance(value, list) else [value]
        given = {self._roles[one] for one in values if isinstance(one, str) and one in self._roles}
        for role in ("admin", "manager", "senior", "analyst", "auditor"):
            if role in given:
                return role
        raise NotSignedIn(
            f"{self.host} knows you, but its claim {self._role_claim} gives you no role here. Ask those who look after "
            "it for one"
        )

    def name(self, claims: Mapping[str, Any]) -> str:
        """What a new user is to be called: the claim of it in small letters, what no name may have as dashes.

        Raises:
            NotSignedIn: there is none.
        """
        value = claims.get(self._name_claim)
        plain = unicodedata.normalize("NFKD", value if isinstance(value, str) else "").encode("ascii", "ignore")
        name = re.sub(r"[^a-z0-9._]+", "-", plain.decode().lower()).strip("-._")
        if not NAME.fullmatch(name) or contains_card_number(name):
            raise NotSignedIn(f"{self.host} gives no claim {self._name_claim} that makes a name here")
        return name

    def _about(self) -> dict[str, Any]:
        """What the provider says of itself."""
        now = time.monotonic()
        if self._metadata is None or now - self._metadata[0] > _KEPT:
            found = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self._issuer:
                raise Unreachable(f"{self.host} calls itself another issuer than {PREFIX}OIDC_ISSUER")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not _is_safe(found.get(name)):
                    raise Unreachable(f"{self.host} names no {name} over HTTPS")
            self._metadata = now, found
        return self._metadata[1]

    def _get(self, address: str) -> dict[str, Any]:
        from requests import RequestException  # noqa: PLC0415

        with self._session() as session:
            try:
                answer = session.get(address, withhold_token=True, timeout=_TIMEOUT, allow_redirects=False)
                found = answer.json() if answer.status_code == 200 else None
            except (RequestException, ValueError):
                found = None
        if not isinstance(found, dict):
            raise Unreachable(f"{self.host}, the issuer in {PREFIX}OIDC_ISSUER, cannot be reached or does not answer")
        return found

    def _token(self, about: Mapping[str, Any], code: str, verifier: str) -> dict[str, Any]:
        from authlib.common.errors import AuthlibBaseError  # noqa: PLC0415
        from requests import HTTPError, RequestException  # noqa: PLC0415

        accepted = about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "client_secret_basic" if "client_secret_basic" in accepted else "client_secret_post"
        with self._session(method if self._secret else "none") as session:
            try:
                found = session.fetch_token(
                    about["token_endpoint"], code=code, code_verifier=verifier, timeout=_TIMEOUT, allow_redirects=False
                )
            except (AuthlibBaseError, HTTPError, ValueError):
                raise NotSignedIn(f"{self.host} took the code of this sign-in no more. Sign in again") from None
            except RequestException:
                raise Unreachable(f"{self.host} cannot be reached") from None
        return dict(found)

    def _claims(self, about: Mapping[str, Any], token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        from authlib.oidc.core import CodeIDToken  # noqa: PLC0415
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import ClaimError, JoseError  # noqa: PLC0415
        from joserfc.jwk import KeySet  # noqa: PLC0415

        keys = [
            key
            for key in self._get(about["jwks_uri"]).get("keys", ())
            if isinstance(key, dict) and key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig"
        ]
        try:
            read = jwt.decode(str(token.get("id_token", "")), KeySet.import_key_set({"keys": keys}), _ALGORITHMS)
            claims = CodeIDToken(
                read.claims,
                read.header,
                {"iss": {"essential": True, "value": self._issuer}, "aud": {"essential": True, "value": self._client}},
                {"nonce": nonce, "client_id": self._client, "access_token": token.get("access_token")},
            )
            claims.validate(leeway=_LEEWAY)
        except ClaimError as error:
            why = _WRONG.get(error.claim, "its token lacks a claim, or has one that is wrong")
            raise NotSignedIn(f"{self.host} did not sign you in: {why}") from None
        except (JoseError, ValueError):
            raise NotSignedIn(f"{self.host} did not sign you in: its token is not signed with a key of its") from None
        return dict(claims)

    def _session(self, method: str = "none") -> Any:
        from authlib.integrations.requests_client import OAuth2Session  # noqa: PLC0415

        return OAuth2Session(
            self._client,
            self._secret,
            token_endpoint_auth_method=method,
            scope="openid profile email",
            redirect_uri=self._back,
            code_challenge_method="S256",
        )


def _derived(secret: str, what: str) -> str:
    return hashlib.blake2b(what.encode(), key=secret.encode()[:64], digest_size=32).hexdigest()


def _address(name: str, value: str) -> str:
    if not _is_safe(value):
        raise _wrong(name, "expected an address that begins with https://")
    return value


def _is_safe(address: Any) -> bool:
    """Whether it is an address over TLS, or of this machine."""
    if not isinstance(address, str):
        return False
    parts = urlsplit(address)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )


def _roles(text: str) -> dict[str, Role]:
    if not text:
        return {role: role for role in ROLES if role != "admin"}
    found: dict[str, Role] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        value, equals, role = pair.rpartition("=")
        if not equals or role not in ROLES:
            raise _wrong("ROLES", f"expected VALUE=ROLE, separated by commas; a role is one of {', '.join(ROLES)}")
        found[value.strip()] = role
    return found


def _wrong(name: str, expected: str) -> InvalidInput:
    return InvalidInput(f"setting {PREFIX}OIDC_{name}: {expected}")
