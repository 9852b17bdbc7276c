"""Answers in the way that it is asked for, right or wrong."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def output(name="OUT", array=None):
    return pb_utils.Tensor(name, np.array([[1, 2]], np.float32) if array is None else array)


def more(array):
    return pb_utils.InferenceResponse([pb_utils.Tensor("MORE", array)])


def response(*outputs, **named):
    return pb_utils.InferenceResponse([*outputs] or [output()], **named)


def failed(text="it failed", *code):
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(text, *code))


class TritonPythonModel:
    def execute(self, requests):
        words = pb_utils.get_input_tensor_by_name(requests[0], "WHAT").as_numpy().ravel()[0].decode().split(" ")
        return getattr(self, words[0])(requests, *words[1:])

    # right
    def fine(self, requests):
        return [response() for _ in requests]

    def parameters(self, requests):
        return [response(parameters={"text": "t\u00e9xt", "number": -7, "flag": True, "none": False, "big": 2**40})]

    def no_outputs(self, requests):
        return [pb_utils.InferenceResponse([])]

    def one_output_missing(self, requests):
        return [response(output())]

    def unknown_output(self, requests):
        return [response(output(), output("NOBODY"))]

    def not_contiguous(self, requests):
        return [response(output(array=np.arange(6, dtype=np.float32).reshape(3, 2).T[:1]))]

    def fortran(self, requests):
        return [response(output(array=np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))))]

    def zero_size(self, requests):
        return [response(output(array=np.zeros((1, 0), np.float32)), output("MORE", np.zeros((1, 0), np.object_)))]

    def strings(self, requests, kind):
        values = {
            "object_str": np.array([["a", "\u00fc", ""]], np.object_),
            "object_bytes": np.array([[b"a", b"\xff", b""]], np.object_),
            "fixed": np.array([[b"a", b"bcd"]]),
            "unicode": np.array([["a", "bcd"]]),
            "numbers": np.array([[1, 2.5, None]], np.object_),
        }
        return [more(values[kind])]

    def wrong_type(self, requests):
        return [response(output(array=np.array([[1, 2]], np.int32)))]

    def wrong_rank(self, requests):
        return [response(output(array=np.array([1, 2], np.float32)))]

    # wrong
    def code(self, requests, name):
        return [failed(f"with {name}", getattr(pb_utils.TritonError, name)) for _ in requests]

    def default_code(self, requests):
        return [failed()]

    def empty_text(self, requests):
        return [failed("")]

    def error_and_outputs(self, requests):
        return [response(output(), error=pb_utils.TritonError("outputs do not count"))]

    def exception(self, requests):
        raise ValueError("the value is \u00fcber all limits")

    def exception_of_two_lines(self, requests):
        raise RuntimeError("first line\nsecond line")

    def model_exception(self, requests):
        raise pb_utils.TritonModelException("of the model's own kind")

    def deep(self, requests):
        return self.deeper({})

    def deeper(self, found):
        return found["nobody"]

    def too_many(self, requests):
        return [response() for _ in requests] + [response()]

    def too_few(self, requests):
        return []

    def no_list(self, requests):
        return (response(),)

    def a_response(self, requests):
        return response()

    def wrong_item(self, requests):
        return ["text"]

    def reschedule(self, requests):
        requests[0].set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
        return [None]

    # through the response sender
    def sent(self, requests):
        for request in requests:
            request.get_response_sender().send(response(), flags=FINAL)

    def sent_in_two(self, requests):
        sender = requests[0].get_response_sender()
        sender.send(response())
        sender.send(flags=FINAL)
        return [None]

    def sent_error(self, requests):
        requests[0].get_response_sender().send(failed("sent", pb_utils.TritonError.NOT_FOUND), flags=FINAL)

    def sender_says(self, requests, case):
        """What the sender says of a wrong use; `last_word` tells it."""
        sender = requests[0].get_response_sender()
        told = {}
        try:
            if case == "second":
                sender.send(response())
                sender.send(response(), flags=FINAL)
            elif case == "final_first":
                sender.send(flags=FINAL)
            elif case == "flag":
                sender.send(response(), flags=9)
            elif case == "no_response":
                sender.send()
            elif case == "no_response_type":
                sender.send("text")
            elif case == "closed":
                sender.send(response(), flags=FINAL)
                sender.send(flags=FINAL)
        except Exception as error:
            told = {"raises": type(error).__name__, "error": str(error)}
        self.told = told
        if case == "second":
            sender.send(flags=FINAL)
        elif case != "closed":
            sender.send(response(), flags=FINAL)

    def last_word(self, requests):
        text = np.array([[json.dumps(self.told)]], np.object_)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("JSON", text)])]
