"""Reads pages with RapidOCR, one thread: paths on standard input, one JSON object a line out."""

import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import cv2  # noqa: E402

cv2.setNumThreads(1)

from rapidocr_onnxruntime import RapidOCR  # noqa: E402

options = {} if "--classifier" in sys.argv else {"use_cls": False}
engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, **options)
for line in sys.stdin:
    path = line.strip()
    started_at, cpu_at = time.perf_counter(), time.process_time()
    lines, _ = engine(path)
    answer = {
        "text": "\n".join(text for _, text, _ in lines or []),
        "seconds": time.perf_counter() - started_at,
        "cpu_seconds": time.process_time() - cpu_at,
    }
    print(json.dumps(answer), flush=True)
