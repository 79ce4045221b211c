"""Verifies messages (JSON on standard input) with the Standard Webhooks library of PyPI."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def verdict(message):
    try:
        return Webhook(message["secret"]).verify(message["body"], message["headers"])["type"]
    except WebhookVerificationError as error:
        return f"refused: {error}"


print(json.dumps([verdict(message) for message in json.load(sys.stdin)]))
