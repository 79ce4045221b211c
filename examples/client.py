"""Submit a page, wait, read its text: python3 examples/client.py [image] [url]

Needs nothing but Python's standard library.
"""

import json
import os
import sys
import urllib.error
import urllib.request

image = sys.argv[1] if len(sys.argv) > 1 else "examples/page.png"
url = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8080"


def call(target, data=None, headers=None):
    key = os.environ.get("BUZZER_API_KEY")  # where the service asks for one
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(
        target, data=data, headers={**(headers or {}), **authorization}
    )
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:  # every 4xx and 5xx of ours is a problem with a detail
        try:
            detail = json.load(error)["detail"]
        except (ValueError, KeyError):
            detail = f"{target} does not answer like Buzzer"
        sys.exit(f"{error.code}: {detail}")
    except urllib.error.URLError as error:
        sys.exit(f"{url} cannot be reached: {error.reason}")


try:
    with open(image, "rb") as file:
        page = file.read()
except OSError as error:
    sys.exit(f"{image} cannot be read: {error.strerror}")
prediction = call(
    f"{url}/v1/models/ocr/predictions", page, {"Content-Type": "image/png"}
)
print(prediction["id"], "is", prediction["status"])

# Each request waits up to a minute on the server: no polling, and nothing is lost when it breaks.
while prediction["completed_at"] is None:
    prediction = call(prediction["urls"]["get"] + "?wait=60")
if prediction["error"]:
    sys.exit(f"{prediction['error']['code']}: {prediction['error']['message']}")
print(prediction["output"]["text"])
