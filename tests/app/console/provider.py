"""A provider of OpenID Connect, small and real: it publishes its keys, checks PKCE, and signs what it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "counterfoil", "a secret & more"


@dataclass
class Provider:
    """See above.

    Attributes:
        key: that it signs with; ``published``: those it shows; ``others``: one of nobody's.
        address: of the issuer.
        secret: that its client has to prove; None for a public one.
        codes: given and not yet used -> what was asked for with it, and what becomes of the token.
        bodies: sent to its token endpoint.
    """

    key: RSAKey
    published: list[RSAKey]
    others: RSAKey
    address: str = ""
    secret: str | None = SECRET
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def sign_in(self, location: str, /, *, claims: dict[str, Any] | None = None, **how: Any) -> dict[str, str]:
        """Somebody signs in at the address that they were sent to: the query that they come back with.

        Args:
            claims: beside the usual ones, or in their place; None takes one out.
            how: ``alg`` and ``key`` that the token is signed with.
        """
        asked = dict(parse_qsl(urlsplit(location).query))
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked, {"claims": claims or {}, **how}
        return {"code": code, "state": asked["state"], "iss": self.address}

    def metadata(self) -> dict[str, Any]:
        """What it says of itself."""
        ends = {name: f"{self.address}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        return {"issuer": self.address, **ends, **self.about}

    def answer(self, sent: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Of the token endpoint."""
        asked, how = self.codes.pop(sent["code"], ({}, {}))
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        proven = _encoded(digest) == asked.get("code_challenge")
        if self.secret is not None:
            basic = base64.b64encode(urlencode({CLIENT: self.secret}).replace("=", ":", 1).encode()).decode()
            plain = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
            proven = proven and authorization in (f"Basic {basic}", f"Basic {plain}")
        if not proven or sent["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "of no use to anybody"}
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "sub": "248289761001", "exp": now + 300, "iat": now}
        claims |= {"nonce": asked["nonce"], "preferred_username": "Ana@Bank.example", "roles": ["staff", "analyst"]}
        claims = {name: value for name, value in (claims | how["claims"]).items() if value is not None}
        token = self.signed(claims, how.get("alg", "RS256"), how.get("key", self.key))
        self.tokens.append(token)
        return 200, {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": token}

    @staticmethod
    def signed(claims: dict[str, Any], alg: str, key: Any) -> str:
        """A token."""
        if alg in ("none", "HS256"):  # as no library would
            parts = ({"alg": alg}, claims)
            text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
            return f"{text}.{_encoded(hmac.digest(key, text.encode(), 'sha256')) if alg == 'HS256' else ''}"
        return jwt.encode({"alg": alg, "kid": key.kid}, claims, key, algorithms=[alg])


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, provider: Provider, *rest: Any) -> None:
        self._provider = provider
        super().__init__(*rest)

    def do_GET(self) -> None:
        if self.path.endswith("/.well-known/openid-configuration"):
            self._send(200, self._provider.metadata())
        else:
            keys = [{**key.as_dict(private=False), "use": "sig"} for key in self._provider.published]
            self._send(200, {"keys": keys})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._provider.bodies.append(body)
        self._send(*self._provider.answer(dict(parse_qsl(body)), self.headers["Authorization"]))

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Nothing."""


def serve(provider: Provider) -> ThreadingHTTPServer:
    """Let it be asked, on a port of its own; to be shut down."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, provider))
    provider.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
