"""Signatures are those of Standard Webhooks: its own example, and its own Python package as the receiver."""

from __future__ import annotations

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.signature import new_secret, secret_bytes, signed


def test_the_example_of_the_specification() -> None:
    headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_receivers_verify_what_is_signed_while_a_secret_changes() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signed("alert_1", int(time.time()), b'{"a": 1}', [new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(b'{"a": 1}', headers) == {"a": 1}
    for secret, body in ((other, b'{"a": 1}'), (new, b'{"a": 2}')):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "c2VjcmV0", "whsec_***", "whsec_" + "A" * 400])
def test_what_is_no_secret_is_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="expected whsec_ and 24 to 64 bytes in base64"):
        secret_bytes(secret)
