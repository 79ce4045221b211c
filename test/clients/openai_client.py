"""OpenAI's Python client against Buzzer, unchanged. Argument: the URL of the service. Prints a line for each check."""

import base64
import json
import sys
import time
import traceback
import urllib.request

import openai

url = sys.argv[1]
client = openai.OpenAI(base_url=f"{url}/openai/v1", api_key="none")
MESSAGES = [{"role": "user", "content": "Hello"}]
checks = []


def check(function):
    checks.append(function)
    return function


def record(response_id):
    """The prediction behind an answer."""
    prediction = "pred_" + response_id.split("_")[-1].split("-")[-1]
    with urllib.request.urlopen(f"{url}/v1/predictions/{prediction}") as answer:
        return json.load(answer)


def until(what, find, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        found = find()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def refused(kind, **members):
    def decorate(function):
        def run():
            try:
                function()
            except kind as error:
                found = {name: getattr(error, name) for name in members}
                assert found == members, found
                return
            raise AssertionError("it was not refused")

        run.__name__ = function.__name__
        return check(run)

    return decorate


@check
def models_are_listed():
    ids = [model.id for model in client.models.list()]
    assert {"babble", "feature-extraction"} <= set(ids) and "ocr" not in ids, ids
    assert client.models.retrieve("babble").object == "model"


@check
def a_conversation_is_continued():
    answer = client.chat.completions.create(
        model="babble", messages=MESSAGES, max_completion_tokens=20, temperature=0
    )
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].message.content
    assert answer.usage.completion_tokens == 20 and answer.usage.total_tokens > 20
    assert record(answer.id)["status"] == "succeeded"


@check
def a_conversation_is_streamed():
    options = {"model": "babble", "messages": MESSAGES, "max_tokens": 60, "seed": 7}
    whole = client.chat.completions.create(**options)
    chunks = list(
        client.chat.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant" and len(chunks) > 4
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 60


@check
def a_text_is_completed():
    options = {"model": "babble", "prompt": "Once", "seed": 7}
    whole = client.completions.create(**options)
    assert whole.usage.completion_tokens == 16 and whole.choices[0].finish_reason == "length"
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(**options, stream=True))
    assert text == whole.choices[0].text


@check
def stop_strings_and_tiers():
    answer = client.chat.completions.create(
        model="babble", messages=MESSAGES, stop=[" "], seed=1, service_tier="flex", metadata={"a": "b"}
    )
    assert answer.choices[0].finish_reason == "stop" and answer.service_tier == "flex"
    found = record(answer.id)
    assert (found["priority"], found["metadata"]) == (5, {"a": "b"}), found


@check
def embeddings_of_texts_and_tokens():
    model = "feature-extraction"
    two = client.embeddings.create(model=model, input=["hello", "world"])
    one = client.embeddings.create(model=model, input="world", encoding_format="float")
    assert len(two.data) == 2 and two.data[1].index == 1
    assert all(abs(a - b) < 1e-6 for a, b in zip(two.data[1].embedding, one.data[0].embedding))
    assert two.usage.prompt_tokens == 6, two.usage  # each word between two special tokens
    tokens = client.embeddings.create(model=model, input=[7592])  # "hello" in BERT's vocabulary
    assert all(abs(a - b) < 1e-6 for a, b in zip(tokens.data[0].embedding, two.data[0].embedding))
    many = client.embeddings.create(model=model, input=[[7592], [2088, 7592]])
    assert len(many.data) == 2


@check
def a_response_is_created():
    answer = client.responses.create(
        model="babble", instructions="Be brief.", input="Hello", max_output_tokens=20
    )
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output_text and answer.usage.output_tokens == 20
    assert answer.instructions == "Be brief."


@check
def a_response_is_made_in_the_background():
    answer = client.responses.create(
        model="babble",
        input=[{"role": "developer", "content": [{"type": "input_text", "text": "Hi"}]}],
        background=True,
        max_output_tokens=80,
        extra_body={"seed": 5},
    )
    assert answer.status in ("queued", "in_progress") and answer.background
    seen = until("some text", lambda: client.responses.retrieve(answer.id).output_text)
    done = until(
        "its end",
        lambda: (found := client.responses.retrieve(answer.id)).status == "incomplete" and found,
    )
    assert done.output_text.startswith(seen) and done.usage.output_tokens == 80


@check
def a_background_stream_goes_on_where_it_was_left():
    options = {
        "model": "babble",
        "input": "Hello",
        "max_output_tokens": 120,
        "extra_body": {"seed": 5},
    }
    whole = client.responses.create(**options)
    text, last, response_id = "", None, None
    stream = client.responses.create(**options, background=True, stream=True)
    for event in stream:
        last = event.sequence_number
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_text.delta":
            text += event.delta
            if len(text) > 60:
                break
    stream.close()
    types = []
    for event in client.responses.retrieve(response_id, stream=True, starting_after=last):
        assert event.sequence_number > last
        last = event.sequence_number
        types.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text == whole.output_text
    assert types[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ], types
    assert record(response_id)["status"] == "succeeded"


@check
def a_response_is_streamed_with_the_helper():
    with client.responses.stream(model="babble", input="Hello", max_output_tokens=30) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    assert text


@check
def a_response_is_canceled():
    answer = client.responses.create(model="babble", input="Hello", background=True)
    until("some text", lambda: client.responses.retrieve(answer.id).output_text)
    canceled = client.responses.cancel(answer.id)
    assert canceled.status == "cancelled" and canceled.output_text
    assert record(answer.id)["status"] == "canceled"


@check
def hanging_up_on_a_stream_cancels():
    stream = client.chat.completions.create(model="babble", messages=MESSAGES, stream=True)
    first = next(iter(stream))
    stream.close()
    ended = until("its end", lambda: (found := record(first.id))["completed_at"] and found)
    assert ended["status"] == "canceled" and ended["partial_output"]["text"], ended["status"]


@check
def a_raw_answer_has_its_predictions_url():
    raw = client.with_raw_response.embeddings.create(model="feature-extraction", input="hello")
    assert "/v1/predictions/pred_" in raw.headers["location"]


@refused(openai.NotFoundError, code="model_not_found", type="invalid_request_error")
def a_model_that_does_not_exist():
    client.chat.completions.create(model="nobody", messages=MESSAGES)


@refused(openai.BadRequestError, code="invalid_value", param="model")
def a_model_of_another_task():
    client.chat.completions.create(model="feature-extraction", messages=MESSAGES)


@refused(openai.BadRequestError, param="n")
def several_choices():
    client.chat.completions.create(model="babble", messages=MESSAGES, n=2)


@refused(openai.BadRequestError, param="tools")
def tools():
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    client.chat.completions.create(model="babble", messages=MESSAGES, tools=[tool])


@refused(openai.BadRequestError, param="logprobs")
def logprobs():
    client.chat.completions.create(model="babble", messages=MESSAGES, logprobs=True)


@refused(openai.BadRequestError, param="messages.0.role")
def a_role_that_does_not_exist():
    client.chat.completions.create(model="babble", messages=[{"role": "king", "content": "a"}])


@refused(openai.BadRequestError, param="max_tokens")
def no_tokens():
    client.chat.completions.create(model="babble", messages=MESSAGES, max_tokens=0)


@refused(openai.BadRequestError, code="context_length_exceeded", param="messages")
def a_prompt_beyond_the_context():
    client.chat.completions.create(model="short", messages=[{"role": "user", "content": "x" * 100}])


@refused(openai.BadRequestError, code="context_length_exceeded", param="messages")
def a_prompt_beyond_the_context_streamed():
    message = {"role": "user", "content": "x" * 100}
    list(client.chat.completions.create(model="short", messages=[message], stream=True))


@refused(openai.NotFoundError, param="response_id")
def a_response_that_does_not_exist():
    client.responses.retrieve("resp_nobody")


@refused(openai.BadRequestError, param="previous_response_id")
def a_response_that_follows_another():
    client.responses.create(model="babble", input="a", previous_response_id="resp_1")


def batch_of(lines, endpoint, **more):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    given = client.files.create(file=("requests.jsonl", text.encode()), purpose="batch")
    assert given.purpose == "batch" and given.bytes == len(text) and given.status == "processed"
    return client.batches.create(
        input_file_id=given.id, endpoint=endpoint, completion_window="24h", **more
    )


def ended_batch(batch):
    final = ("completed", "failed", "expired", "cancelled")

    def find():
        found = client.batches.retrieve(batch.id)
        return found if found.status in final else None

    return until("the batch", find)


def lines_in(file_id):
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def request_line(number, url, body):
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body}


@check
def a_batch_of_conversations():
    url = "/v1/chat/completions"
    body = {"model": "babble", "messages": MESSAGES, "seed": 7, "max_tokens": 5}
    wrong = {**body, "n": 2}
    lines = [request_line(0, url, body), request_line(1, url, wrong), request_line(2, url, body)]
    batch = batch_of(lines, url, metadata={"who": "me"})
    assert batch.object == "batch" and batch.endpoint == url and batch.metadata == {"who": "me"}
    done = ended_batch(batch)
    counts = done.request_counts
    assert (done.status, counts.total, counts.completed, counts.failed) == ("completed", 3, 2, 1)
    assert done.completed_at >= done.in_progress_at >= done.created_at > 0
    good = lines_in(done.output_file_id)
    assert [line["custom_id"] for line in good] == ["request-0", "request-2"]
    answer = good[0]["response"]
    assert answer["status_code"] == 200 and answer["body"]["object"] == "chat.completion"
    single = client.chat.completions.create(**body)
    choice = answer["body"]["choices"][0]
    assert choice["message"]["content"] == single.choices[0].message.content
    assert choice["finish_reason"] == "length"
    assert answer["body"]["usage"]["completion_tokens"] == 5
    bad = lines_in(done.error_file_id)
    assert bad[0]["custom_id"] == "request-1" and bad[0]["response"]["status_code"] == 400
    assert "n" in bad[0]["response"]["body"]["error"]["message"]


@check
def batches_of_completions_and_embeddings():
    url = "/v1/completions"
    body = {"model": "babble", "prompt": "Once", "seed": 1, "max_tokens": 3}
    done = ended_batch(batch_of([request_line(0, url, body)], url))
    answer = lines_in(done.output_file_id)[0]["response"]["body"]
    assert answer["object"] == "text_completion" and done.error_file_id is None
    assert answer["choices"][0]["text"] == client.completions.create(**body).choices[0].text
    url = "/v1/embeddings"
    body = {"model": "feature-extraction", "input": ["one", "two"]}
    done = ended_batch(batch_of([request_line(0, url, body)], url))
    answer = lines_in(done.output_file_id)[0]["response"]["body"]
    single = client.embeddings.create(**body, encoding_format="float")
    assert [each["embedding"] for each in answer["data"]] == [each.embedding for each in single.data]


@check
def a_batch_is_canceled_and_listed():
    url = "/v1/chat/completions"
    body = {"model": "babble", "messages": MESSAGES, "max_tokens": 300}
    batch = batch_of([request_line(number, url, body) for number in range(20)], url)
    until("it to run", lambda: client.batches.retrieve(batch.id).status == "in_progress")
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    done = ended_batch(batch)
    assert done.status == "cancelled" and done.cancelled_at > 0, done
    until("the list", lambda: batch.id in [each.id for each in client.batches.list(limit=2)])


@refused(openai.BadRequestError, param="input_file_id")
def a_batch_of_two_models():
    url = "/v1/chat/completions"
    lines = [
        request_line(number, url, {"model": model, "messages": MESSAGES})
        for number, model in enumerate(["babble", "short"])
    ]
    batch_of(lines, url)


@check
def files_are_listed_read_and_deleted():
    given = [
        client.files.create(file=(f"{number}.txt", b"text"), purpose="user_data")
        for number in range(3)
    ]
    ids = [each.id for each in client.files.list(purpose="user_data", limit=2)]
    assert [each.id for each in reversed(given)] == [each for each in ids if each in [g.id for g in given]]
    assert client.files.content(given[0].id).read() == b"text"
    assert client.files.retrieve(given[0].id).filename == "0.txt"
    assert client.files.delete(given[0].id).deleted
    try:
        client.files.retrieve(given[0].id)
    except openai.APIStatusError as error:
        assert error.status_code == 410
        return
    raise AssertionError("it is still there")


PNG = b"\x89PNG\r\n\x1a\n"


@check
def images_come_as_urls():
    made = client.images.generate(model="digits", prompt="a handwritten seven", n=2, size="64x64")
    assert len(made.data) == 2 and made.size == "64x64" and made.created > 0, made
    for image in made.data:
        assert urllib.request.urlopen(image.url).read().startswith(PNG)


@check
def images_come_as_base64():
    options = {"model": "digits", "prompt": "a handwritten two", "response_format": "b64_json"}
    first, second = (
        client.images.generate(**options, output_format="jpeg", output_compression=80, extra_body={"seed": 4})
        for _ in range(2)
    )
    assert first.data[0].b64_json == second.data[0].b64_json and first.output_format == "jpeg"
    assert base64.b64decode(first.data[0].b64_json).startswith(b"\xff\xd8")


@check
def an_image_is_streamed_with_previews():
    events = list(
        client.images.generate(model="slow-digits", prompt="a handwritten nine", stream=True, partial_images=2)
    )
    kinds = [event.type for event in events]
    partial = "image_generation.partial_image"
    assert kinds == [partial, partial, "image_generation.completed"], kinds
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    images = [base64.b64decode(event.b64_json) for event in events]
    assert all(image.startswith(PNG) for image in images) and len(set(images)) == 3


@refused(openai.BadRequestError, code="invalid_value", param="size")
def a_size_that_there_is_not():
    client.images.generate(model="digits", prompt="a", size="256x256")


@refused(openai.BadRequestError, code="invalid_value", param="n")
def two_images_in_one_stream():
    client.images.generate(model="digits", prompt="a", n=2, stream=True)


@refused(openai.BadRequestError, code="invalid_value", param="model")
def an_image_of_a_model_for_texts():
    client.images.generate(model="babble", prompt="a")


for run in checks:
    try:
        run()
        print("ok", run.__name__)
    except Exception:
        print("not ok", run.__name__, traceback.format_exc().replace("\n", " | "))
