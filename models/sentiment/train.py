"""Trains the sentiment model in 1/ and says how good it is on texts that it has not seen.

    python3 -m venv venv && venv/bin/pip install numpy scipy scikit-learn onnx tokenizers
    venv/bin/python models/sentiment/train.py        # writes 1/onnx/model.onnx; prints its hash and accuracy

The data are the snippets that people have rated for VADER (C.J. Hutto and E. Gilbert, "VADER: A Parsimonious
Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014). They come with the source package of
vaderSentiment 3.3.2 (MIT), which this script downloads with pip. They are texts of other people, so only what was
learned from them is kept here.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import scipy.sparse as sparse
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

VERSION = Path(__file__).parent / "1"
PACKAGE = "vaderSentiment==3.3.2"
SOURCES = ["amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets"]
NEUTRAL = 0.5  # people rate from -4 to 4; nearer to 0 they do not say much
MAX_TOKENS = 128
REGULARIZATION = 0.5


def read_snippets():
    """Yields (source, document, mean rating, text) of each snippet."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "-d", folder, PACKAGE], check=True)
        [package] = Path(folder).iterdir()
        with tarfile.open(package) as outer:
            [name] = [n for n in outer.getnames() if n.endswith("hutto_ICWSM_2014.tar.gz")]
            inner = tarfile.open(fileobj=io.BytesIO(outer.extractfile(name).read()))
        for source in SOURCES:
            [name] = [
                n
                for n in inner.getnames()
                if n.endswith(f"/{source}_GroundTruth.txt") and "/._" not in n
            ]
            for line in inner.extractfile(name).read().decode("utf-8").splitlines():
                number, rating, text = line.split("\t")[:3]
                yield source, source + number.split("_")[0], float(rating), text.strip()


def bags_of_tokens(texts):
    """A row for each text: how often each token is in it."""
    tokenizer = Tokenizer.from_file(str(VERSION / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    rows = np.repeat(np.arange(len(ids)), [len(each) for each in ids])
    columns = np.concatenate(ids)
    shape = (len(ids), tokenizer.get_vocab_size())
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def graph_of(model):
    """The sum of the weights of all tokens that are no padding, as the logits of NEGATIVE and POSITIVE."""
    weights = model.coef_[0].astype(np.float32).reshape(-1, 1)
    bias = model.intercept_.astype(np.float32)
    node = helper.make_node
    nodes = [
        node("Gather", ["weights", "input_ids"], ["token_weights"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask", "last"], ["mask_column"]),
        node("Mul", ["token_weights", "mask_column"], ["kept"]),
        node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        node("Add", ["sum", "bias"], ["score"]),
        node("Mul", ["score", "half"], ["positive"]),
        node("Neg", ["positive"], ["negative"]),
        node("Concat", ["negative", "positive"], ["logits"], axis=1),
    ]
    constants = {
        "weights": weights,
        "bias": bias,
        "last": np.array([-1]),
        "tokens": np.array([1]),
        "half": np.float32(0.5),
    }
    int64, float32 = TensorProto.INT64, TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info(name, int64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", float32, ["batch", 2])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "sentiment", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main():
    snippets = [each for each in read_snippets() if abs(each[2]) >= NEUTRAL]
    sources = np.array([source for source, _, _, _ in snippets])
    positive = np.array([rating > 0 for _, _, rating, _ in snippets])
    # Whole documents are held out: their other sentences would tell too much.
    is_held_out = np.array([zlib.crc32(doc.encode()) % 5 == 0 for _, doc, _, _ in snippets])
    bags = bags_of_tokens([text for _, _, _, text in snippets])
    model = LogisticRegression(C=REGULARIZATION, max_iter=400)
    model.fit(bags[~is_held_out], positive[~is_held_out])

    right = model.predict(bags) == positive
    share = max(positive[is_held_out].mean(), 1 - positive[is_held_out].mean())
    print(f"{(~is_held_out).sum()} snippets to learn from, {is_held_out.sum()} held out")
    print(f"accuracy on these: {right[is_held_out].mean():.1%}; the larger class has {share:.1%}")
    for source in SOURCES:
        print(f"  {source}: {right[is_held_out & (sources == source)].mean():.1%}")
    path = VERSION / "onnx" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(graph_of(model), path)
    print(f"{path.name}: {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
