"""One response for each element of IN, in the way that HOW says."""

import json
import threading

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def response(index, value, **named):
    outputs = [
        pb_utils.Tensor("OUT", np.array([value], np.int32)),
        pb_utils.Tensor("IDX", np.array([index], np.uint32)),
    ]
    return pb_utils.InferenceResponse(outputs, **named)


def told(value):
    return pb_utils.InferenceResponse([pb_utils.Tensor("JSON", np.array([json.dumps(value)], np.object_))])


def failed(message):
    error = pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
    return pb_utils.InferenceResponse(output_tensors=[], error=error)


class TritonPythonModel:
    def initialize(self, args):
        self.threads = []
        self.saw_cancel = threading.Event()

    def execute(self, requests):
        for request in requests:
            how = pb_utils.get_input_tensor_by_name(request, "HOW")
            name = how.as_numpy()[0].decode() if how is not None else "plain"
            values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().tolist()
            sender = request.get_response_sender()
            if name == "return_something":
                sender.send(flags=FINAL)
                return [None]
            if name in ("thread", "until_cancelled"):
                self.threads.append(threading.Thread(target=getattr(self, name), args=(sender, values)))
                self.threads[-1].start()
            else:
                getattr(self, name)(sender, values)
        return None

    def plain(self, sender, values):
        for index, value in enumerate(values):
            sender.send(response(index, value))
        sender.send(flags=FINAL)

    def thread(self, sender, values):
        self.plain(sender, values)

    def final_with_the_last(self, sender, values):
        for index, value in enumerate(values):
            sender.send(response(index, value), flags=FINAL if index == len(values) - 1 else 0)

    def parameters(self, sender, values):
        for index, value in enumerate(values):
            sender.send(
                response(index, value, parameters={"nth": index, "of": "all", "last": index == len(values) - 1})
            )
        sender.send(flags=FINAL)

    def error_in_the_middle(self, sender, values):
        for index, value in enumerate(values):
            sender.send(failed(f"no {value}") if index == 1 else response(index, value))
        sender.send(flags=FINAL)

    def error_at_the_end(self, sender, values):
        sender.send(response(0, values[0]))
        sender.send(failed("the last"), flags=FINAL)

    def only_an_error(self, sender, values):
        sender.send(failed("nothing else"), flags=FINAL)

    def exception(self, sender, values):
        raise ValueError("before any response")

    def exception_after_one(self, sender, values):
        sender.send(response(0, values[0]))
        raise ValueError("after one response")

    def after_the_end(self, sender, values):
        sender.send(response(0, values[0]))
        sender.send(flags=FINAL)
        sender.send(response(1, values[0]))

    def sender_says(self, sender, values):
        """What the sender says of wrong uses."""
        for send in (lambda: sender.send(), lambda: sender.send(response(0, 1), flags=7), lambda: sender.send("text")):
            try:
                send()
                answer = {}
            except Exception as error:
                answer = {"raises": type(error).__name__, "error": str(error)}
            sender.send(told(answer))
        sender.send(told(sender.is_cancelled()), flags=FINAL)

    def until_cancelled(self, sender, values):
        self.saw_cancel.clear()
        sender.send(response(0, values[0]))
        for _ in range(3000):
            if sender.is_cancelled():
                self.saw_cancel.set()
                break
            threading.Event().wait(0.01)
        sender.send(flags=FINAL)

    def was_cancelled(self, sender, values):
        sender.send(told(self.saw_cancel.wait(30)), flags=FINAL)

    def finalize(self):
        for thread in self.threads:
            thread.join()
