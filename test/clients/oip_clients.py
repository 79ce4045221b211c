"""Uses an Open Inference Protocol server with its real clients: oip_clients.py HOST:PORT

Prints one line for each check and exits 1 when one has failed. Expects the models identity_<datatype>
(x [batch, n] -> y) and identity_pair (a FP32, b INT64 -> c, d).
"""

import asyncio
import importlib.util
import sys
import types
from unittest.mock import MagicMock

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

# Importing the package `kserve` imports its whole server. The client's modules are taken by
# themselves; what they import besides and do not use here is left out.
for unused in (
    "pandas",
    "psutil",
    "cloudevents",
    "cloudevents.http",
    "cloudevents.conversion",
    "cloudevents.sdk",
    "cloudevents.sdk.converters",
    "cloudevents.sdk.converters.util",
):
    sys.modules[unused] = MagicMock(name=unused)
package = types.ModuleType("kserve")
package.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = package

import httpx  # noqa: E402
from kserve.inference_client import InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput  # noqa: E402

ADDRESS = sys.argv[1]
SECONDS = 30
NAN, INFINITY = float("nan"), float("inf")

VALUES = {
    "BOOL": np.array([[True, False, True]]),
    "UINT8": np.array([[0, 255, 7]], np.uint8),
    "UINT16": np.array([[0, 65535, 7]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1, 7]], np.uint32),
    "UINT64": np.array([[0, 2**53 - 1, 7]], np.uint64),
    "INT8": np.array([[-128, 127, 0]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1, 0]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1, 0]], np.int32),
    "INT64": np.array([[-(2**53) + 1, 2**53 - 1, 0]], np.int64),
    "FP16": np.array([[0.5, -2.25, 65504]], np.float16),
    "FP32": np.array([[0.1, -2.5, 3e38]], np.float32),
    "FP64": np.array([[0.1, -2.5, 1e300]], np.float64),
    "BYTES": np.array([["plain", "", "ünïcödé \"✓\" \\n"]], np.object_),
}
# What JSON numbers cannot say.
EXTREMES = {
    "UINT64": np.array([[2**64 - 1, 2**53 + 1]], np.uint64),
    "INT64": np.array([[-(2**63), 2**63 - 1, 2**53 + 1]], np.int64),
    "FP16": np.array([[NAN, INFINITY, -INFINITY, -0.0]], np.float16),
    "FP32": np.array([[NAN, INFINITY, -INFINITY, -0.0]], np.float32),
    "FP64": np.array([[NAN, INFINITY, -INFINITY, -0.0]], np.float64),
}
FORMS = {True: "binary", False: "JSON", None: "default"}


def model_of(datatype):
    return f"identity_{datatype.lower()}"


def assert_same(actual, expected):
    assert actual is not None, "the output is missing"
    assert actual.shape == expected.shape, f"shape {actual.shape} is not {expected.shape}"
    if expected.dtype == np.object_:
        decoded = [each.decode() if isinstance(each, bytes) else each for each in actual.ravel()]
        assert decoded == list(expected.ravel()), decoded
    else:
        np.testing.assert_array_equal(actual, expected)


def assert_refused(call, *words):
    """The client's own exception carries the server's words."""
    try:
        call()
    except InferenceServerException as error:
        message = error.message()
    except httpx.HTTPStatusError as error:
        message = str(error)
    else:
        raise AssertionError("it was accepted")
    assert "exception occurred in the client" not in message, message
    for word in words:
        assert word in message, f"{word} is not in: {message}"


def triton_tensor(name, datatype, value, binary):
    return triton.InferInput(name, list(value.shape), datatype).set_data_from_numpy(value, binary)


class Sync:
    label = "tritonclient"

    @staticmethod
    def call(method, *arguments, **named):
        with triton.InferenceServerClient(ADDRESS, network_timeout=SECONDS) as client:
            return getattr(client, method)(*arguments, **named)


class Aio:
    label = "tritonclient.aio"

    @staticmethod
    def call(method, *arguments, **named):
        async def run():
            async with triton_aio.InferenceServerClient(ADDRESS) as client:
                return await getattr(client, method)(*arguments, **named)

        return asyncio.run(run())


def triton_checks(client):
    call = client.call
    yield "is live", lambda: call("is_server_live") or fail("it is not")
    yield "is ready", lambda: call("is_server_ready") or fail("it is not")
    yield "a model is ready", lambda: call("is_model_ready", "identity_fp32") or fail("it is not")
    yield "a version is ready", lambda: call("is_model_ready", "identity_fp32", "1") or fail("no")
    yield "an unknown one is not", lambda: call("is_model_ready", "none") and fail("it is")
    yield "server metadata", lambda: call("get_server_metadata")["extensions"]

    def metadata():
        found = call("get_model_metadata", "identity_int64")
        assert found["inputs"] == [{"name": "x", "datatype": "INT64", "shape": [-1, -1]}], found

    def index():
        entries = call("get_model_repository_index")
        entry = next(each for each in entries if each["name"] == "identity_fp32")
        assert (entry["version"], entry["state"]) == ("1", "READY"), entry

    yield "model metadata", metadata
    yield "repository index", index

    def infer(datatype, value, binary_in=True, binary_out=True, **named):
        wanted = None if binary_out is None else [triton.InferRequestedOutput("y", binary_out)]
        named.setdefault("outputs", wanted)
        tensor = triton_tensor("x", datatype, value, binary_in)
        return call("infer", named.pop("model", model_of(datatype)), [tensor], **named)

    def round_trip(datatype, value, binary_in, binary_out):
        result = infer(datatype, value, binary_in, binary_out)
        assert_same(result.as_numpy("y"), value)
        is_binary = "binary_data_size" in (result.get_output("y").get("parameters") or {})
        assert binary_out is None or is_binary == binary_out, "it came in the other form"

    for datatype, value in VALUES.items():
        for binary_in in (False, True):
            for binary_out in (False, True, None):
                yield (
                    f"{datatype}, {FORMS[binary_in]} in, {FORMS[binary_out]} out",
                    lambda d=datatype, v=value, i=binary_in, o=binary_out: round_trip(d, v, i, o),
                )
        yield (
            f"{datatype}, no elements",
            lambda d=datatype, v=value: round_trip(d, v[:0], True, True),
        )
    for datatype, value in EXTREMES.items():
        yield f"{datatype}, extremes", lambda d=datatype, v=value: round_trip(d, v, True, True)

    def pair(binary_a, binary_b, wanted):
        a, b = np.float32([[1.5, 2.5]]), np.int64([[2**40, -1, 0]])
        inputs = [triton_tensor("b", "INT64", b, binary_b), triton_tensor("a", "FP32", a, binary_a)]
        result = call("infer", "identity_pair", inputs, outputs=wanted)
        assert_same(result.as_numpy("c"), a)
        assert_same(result.as_numpy("d"), b)

    out = triton.InferRequestedOutput
    yield "two tensors", lambda: pair(True, True, None)
    yield "bytes and JSON mixed", lambda: pair(False, True, [out("c", True), out("d", False)])
    yield "mixed the other way", lambda: pair(True, False, [out("d", True), out("c", False)])

    value = VALUES["FP32"]

    def echoed():
        answer = infer("FP32", value, request_id="mine é/1").get_response()
        assert answer["id"] == "mine é/1", answer
        assert (answer["model_name"], answer["model_version"]) == ("identity_fp32", "1"), answer

    large = np.arange(200_000, dtype=np.float32).reshape(1, -1)
    custom = {"text": "é", "number": 7, "flag": True}
    yield "its id is echoed", echoed
    yield "an explicit version", lambda: infer("FP32", value, model_version="1")
    yield "priority and timeout", lambda: infer("FP32", value, priority=1, timeout=30_000_000)
    yield "custom parameters", lambda: infer("FP32", value, parameters=custom)
    yield "800 kB", lambda: round_trip("FP32", large, True, True)
    for algorithm in ("gzip", "deflate"):
        yield (
            f"{algorithm}",
            lambda a=algorithm: assert_same(
                infer(
                    "FP32", large, request_compression_algorithm=a, response_compression_algorithm=a
                ).as_numpy("y"),
                large,
            ),
        )
    yield "unknown model", lambda: assert_refused(lambda: infer("FP32", value, model="none"), "none")
    yield "unknown version", lambda: assert_refused(
        lambda: infer("FP32", value, model_version="99"), "99"
    )
    yield "wrong datatype", lambda: assert_refused(
        lambda: infer("INT32", VALUES["INT32"], model="identity_fp32"), "x must be FP32"
    )
    yield "wrong rank", lambda: assert_refused(
        lambda: infer("FP32", np.float32([1, 2])), "x must be [batch, n]"
    )
    yield "unknown output", lambda: assert_refused(
        lambda: infer("FP32", value, outputs=[out("z")]), "there is no output z"
    )
    yield "NaN in JSON", lambda: assert_refused(
        lambda: infer("FP32", EXTREMES["FP32"], binary_in=False), "not JSON"
    )


def kserve_checks():
    base = f"http://{ADDRESS}"
    config = RESTConfig(protocol="v2", retries=0, timeout=SECONDS)

    def use(method, *arguments, **named):
        async def run():
            client = InferenceRESTClient(config)
            try:
                return await getattr(client, method)(base, *arguments, **named)
            finally:
                await client.close()

        return asyncio.run(run())

    def infer(datatype, value, binary, model=None):
        tensor = InferInput("x", list(value.shape), datatype)
        tensor.set_data_from_numpy(value, binary_data=binary)
        wanted = [RequestedOutput("y", {"binary_data": binary})]
        request = InferRequest(model or model_of(datatype), [tensor], request_outputs=wanted)
        answer = use("infer", request, model_name=request.model_name)
        return answer.outputs[0].as_numpy()

    yield "is live", lambda: use("is_server_live") or fail("it is not")
    yield "is ready", lambda: use("is_server_ready") or fail("it is not")
    yield "a model is ready", lambda: use("is_model_ready", "identity_fp32") or fail("it is not")
    for datatype, value in VALUES.items():
        for binary in (False, True):
            if datatype == "FP16" and not binary:
                continue  # this client has no JSON for it
            yield (
                f"{datatype}, {FORMS[binary]}",
                lambda d=datatype, v=value, b=binary: assert_same(infer(d, v, b), v),
            )
    value = VALUES["FP32"]
    yield "unknown model", lambda: assert_refused(lambda: infer("FP32", value, True, "none"), "none")
    yield "wrong datatype", lambda: assert_refused(
        lambda: infer("INT32", VALUES["INT32"], True, "identity_fp32"), "x must be FP32"
    )


def fail(message):
    raise AssertionError(message)


def main():
    failures = 0
    suites = [(each.label, triton_checks(each)) for each in (Sync, Aio)]
    for label, checks in [*suites, ("kserve", kserve_checks())]:
        for name, check in checks:
            try:
                check()
                print(f"ok {label}: {name}", flush=True)
            except Exception as error:  # whatever a client throws is a failed check
                failures += 1
                print(f"FAILED {label}: {name}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failures > 0 else 0)


main()
