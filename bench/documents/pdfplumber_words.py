"""Prints how many words pdfplumber finds on the first pages of each file, and how long it takes."""

import json
import sys
import time

import pdfplumber

for path in sys.argv[2:]:
    started_at = time.perf_counter()
    with pdfplumber.open(path) as document:
        pages = document.pages[: int(sys.argv[1])]
        words = [
            [
                {"text": w["text"], "x": (w["x0"] + w["x1"]) / 2, "y": (w["top"] + w["bottom"]) / 2}
                for w in page.extract_words()
            ]
            for page in pages
        ]
    seconds = time.perf_counter() - started_at
    print(json.dumps({"seconds": seconds, "pages": words}), flush=True)
