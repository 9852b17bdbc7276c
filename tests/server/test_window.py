"""How far responses may be ahead of a client, and what a decoupled request's end does to those who wait."""

from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.window import ResponseWindow


def test_who_waits_for_room_goes_on_once_there_is_some():
    window, went = ResponseWindow(limit=100), []
    window.when_room(lambda: went.append("at once"))
    window.add(150)
    window.when_room(lambda: went.append("later"))
    window.take(50)
    assert went == ["at once"]
    window.take(1)
    assert went == ["at once", "later"]
    window.take(99)
    assert went == ["at once", "later"]


def test_nobody_waits_for_the_client_of_a_request_that_has_ended():
    window, went = ResponseWindow(limit=1), []
    request = InferenceRequest("m", {}, window=window)
    window.add(10)
    request.when_room(lambda: went.append(1))
    assert went == []
    request.cancel()
    assert went == [1]
    request.when_room(lambda: went.append(2))
    assert went == [1, 2]


def test_a_decoupled_request_ends_with_a_response_or_with_none():
    heard: list[InferenceResponse] = []
    request = InferenceRequest("m", {}, id="7", reply=heard.append)
    assert request.send(InferenceResponse("m", "1"), final=False)
    assert not request.ended
    assert request.finish()
    assert not request.finish()
    assert [(response.final, response.empty) for response in heard] == [(False, False), (True, True)]
    assert heard[-1].id == "7"


def test_whoever_computes_a_request_hears_of_its_end():
    heard: list[InferenceRequest] = []

    class Work:
        def release(self, request: InferenceRequest) -> None:
            heard.append(request)

    request = InferenceRequest("m", {})
    assert request.begin(Work()) == {}
    request.cancel()
    request.cancel()
    assert heard == [request]
    assert request.begin(Work()) is None
