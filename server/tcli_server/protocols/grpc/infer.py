"""`ModelInfer` and `ModelStreamInfer`: the hot path from a request's bytes to the engine and back."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.observability.access_entry import AccessEntry
from tcli_server.protocols.grpc.access import GONE, end_entry
from tcli_server.protocols.grpc.admission import Admission
from tcli_server.protocols.grpc.errors import as_server_error, details
from tcli_server.protocols.grpc.flows import Flow, Flows
from tcli_server.protocols.grpc.infer_request import OutputForms, decode_request, shares_memory, wants_empty_final
from tcli_server.protocols.grpc.infer_response import encode_response, takes_long
from tcli_server.protocols.grpc.known_requests import KnownRequests
from tcli_server.protocols.grpc.rpc import Message, Parts, StreamCall, UnaryCall
from tcli_server.protocols.grpc.stream import Place, Stream
from tcli_server.protocols.grpc.traces import begin_trace
from tcli_server.protocols.grpc.wire import TooManyFieldsError, check_field_count, split_request, varint
from tcli_server.protocols.mailbox import ReplyMailbox
from tcli_server.protocols.request_headers import NOTHING_ASKED, Asked, RequestHeaders, server_timing
from tcli_server.protocols.shared_memory import SystemSharedMemory
from tcli_server.protocols.turn import TurnEnd
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.tracing.trace import Trace

_LARGE = 1 << 14
"""Bytes from which a request's tensors are cut out of it instead of being parsed with it."""

_MANY_BYTES = 1 << 14
_MANY_FIELDS = 500
"""Bytes of a message without its raw tensors, and fields, from which reading them one by one is left to a thread."""

_MOST_FIELDS = 1 << 16
"""Fields that a request, its inputs and its outputs may have."""

_LARGEST_TYPED = 64 << 20
"""Bytes of a request without its raw tensors. protobuf's parser lets nobody else run until it has read all of them."""

_LARGEST_WHOLE = 1 << 20
"""Bytes of a request that is given to protobuf's parser although its fields cannot be told apart here."""

_GONE_SECS = 0.05
"""How long after the end of its input a client's cancellation may come to be known."""

_CLOSED_PER_TURN = 100

IDLE_SECS = 1.0
"""How long a stream of a server that leaves may have nothing to do until it is ended: what its client sends next may be on its way."""

_STREAM_RESPONSE = bytes([(service_pb2.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER << 3) | 2])

_Asked = tuple[InferenceRequest, OutputForms]
_Answer = Parts | ServerError | None


class _Call:
    """One inference on its way through the server.

    Attributes:
        id: the request's, as soon as that is read.
        request: as soon as there is one.
        loaded: its model is; else nobody knows yet whether that is decoupled.
        decoupled: its model is.
        tells_end: the client wants to hear of an end without another response.
        access: its entry in the access log, where a stream has one.
    """

    __slots__ = ("access", "data", "decoupled", "id", "loaded", "request", "tells_end")

    def __init__(self, data: Message) -> None:
        self.data = data
        self.id = ""
        self.request: InferenceRequest | None = None
        self.loaded = True
        self.decoupled = self.tells_end = False
        self.access: AccessEntry | None = None


class Inference:
    """Runs inferences for one gRPC server; takes and gives serialized messages."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPoolExecutor,
        admission: Admission,
        shared: SystemSharedMemory,
        headers: RequestHeaders,
    ) -> None:
        self._shared = shared
        self.headers = headers
        self.engine = engine
        self.loop = loop
        self.pool = pool
        self._admission = admission
        self.post = ReplyMailbox(loop).post
        self.turn_end = TurnEnd(loop)
        self._known = KnownRequests()
        self._streams: set[Stream] = set()

    def close(self) -> None:
        """Take no more inferences; streams end as soon as what they began is answered."""
        self._admission.closed = True
        for stream in self._streams:
            stream.close()

    async def end_idle_streams(self) -> None:
        """From now on end streams that have nothing to do, which would go on for as long as their clients like, until this is cancelled."""
        while True:
            for number, stream in enumerate(list(self._streams)):
                stream.close_if_idle()
                if number % _CLOSED_PER_TURN == 0:  # others have their turn now
                    await asyncio.sleep(0)
            await asyncio.sleep(IDLE_SECS)

    def model_infer(self, data: Message, call: UnaryCall) -> None:
        """Answer one request; if the client goes, it is cancelled."""
        try:
            self._admission.admit()
        except ServerError as error:
            call.fail(error)
            return
        _Single(self, call).begin(_Call(data))

    async def model_stream_infer(self, call: StreamCall) -> ServerError | None:
        """Answer the requests of a stream; a client that is gone cancels this, and with it all requests."""
        asked = call.asked
        as_status = asked.errors_as_status
        flows = Flows(self.post, self._admission.leave)
        stream = Stream(
            partial(self._stream_response, as_status, asked),
            partial(self._flow_response, as_status, asked),
            flows,
            call,
        )
        self._streams.add(stream)
        try:
            if self._admission.closed:
                stream.close()
            error = await stream.run()
            if stream.sequences:  # an end of input looks the same at first whether the client is done or gone
                await asyncio.sleep(_GONE_SECS)
            return error
        except asyncio.CancelledError:
            for sequence in stream.sequences:  # nobody will go on with them
                self.engine.abandon_sequence(*sequence, stream.identity)
            raise
        finally:
            self._streams.discard(stream)

    async def _stream_response(
        self, as_status: bool, headers: Asked, stream: Stream, data: Message, place: Place
    ) -> _Answer:
        """A request's answer, or its error in an answer; or the error itself where that is to be the stream's status."""
        call = _Call(data)
        access = call.access = stream.begin_entry(len(data))
        del data
        failure: ServerError | None = None
        answer: Parts | None = None
        try:
            answer = await self._infer_on_stream(call, headers, stream, place)
        except asyncio.CancelledError:
            if access is not None:
                access.end(GONE, failed=True)
            raise
        except Exception as error:
            failure = as_server_error(error, "ModelStreamInfer")
            answer = [_error_for_stream(failure, call.id, call.request)]
        if access is not None and answer is not None:  # else a flow has begun, which ends it
            access.bytes_out = sum(map(len, answer))
            end_entry(access, failure)
        return failure if as_status and failure is not None else answer

    async def _flow_response(self, as_status: bool, headers: Asked, flow: Flow, response: InferenceResponse) -> _Answer:
        """What is sent of a decoupled model's response, which is noted in the access log."""
        answer = await self._encode_flow(as_status, headers, flow, response)
        if flow.access is not None:
            if answer is not None and not isinstance(answer, ServerError):
                flow.access.bytes_out += sum(map(len, answer))
            if response.final:
                end_entry(flow.access, response.error)
        return answer

    async def _encode_flow(self, as_status: bool, headers: Asked, flow: Flow, response: InferenceResponse) -> _Answer:
        """Nothing of an end that the client did not ask to be told."""
        if response.empty and not flow.tells_end:
            return None
        failure = response.error
        if failure is None:
            if headers.timing:
                _tell_timing(response, flow.request)
            try:
                if takes_long(response, flow.forms):
                    return await self.loop.run_in_executor(self.pool, _encode_for_stream, response, flow.forms)
                return _encode_for_stream(response, flow.forms)
            except Exception as error:
                failure = as_server_error(error, "ModelStreamInfer")
        return failure if as_status else [_error_for_stream(failure, response.id, flow.request, response.final)]

    async def _infer_on_stream(self, call: _Call, headers: Asked, stream: Stream, place: Place) -> Parts | None:
        self._admission.admit()
        try:
            asked = self.decode(call) or await self.decode_in_thread(call)
            call.request, forms = asked
            headers.hand_on(call.request)
            if not call.loaded:
                call.decoupled = await self._decoupled(call.request)
            await place.wait()
            stream.follow(call.request)
            tracer = self.engine.tracer
            if not call.decoupled:
                if tracer.on:
                    stream.trace(place, begin_trace(tracer, call.request, headers))
                return await self._answer(asked, headers.timing, place, call.access)
            flow = stream.flows.begin(call.request, forms, call.tells_end, call.access)
            if tracer.on:
                flow.trace = begin_trace(tracer, call.request, headers)
            self._admission.enter()  # until the flow ends
            self.engine.submit(call.request, self.turn_end)
            return None
        finally:
            self._admission.leave()

    async def _decoupled(self, request: InferenceRequest) -> bool:
        """Have a request's model loaded, which tells whether it is decoupled."""
        name, version = request.model_name, request.model_version
        told = self.engine.demand.when_loaded(name, version, lambda model: model.spec.decoupled)
        return await asyncio.wrap_future(told) if isinstance(told, Future) else told

    async def _answer(self, asked: _Asked, timing: bool, place: Place, access: AccessEntry | None) -> Parts:
        request, forms = asked
        future: asyncio.Future[InferenceResponse] = self.loop.create_future()
        request.reply = partial(self.post, partial(_resolve, future))
        if access is not None:
            access.follow(request)
        self.engine.submit(request, self.turn_end)
        place.leave()
        try:
            response = await future
        except asyncio.CancelledError:
            request.cancel()
            raise
        if response.error is not None:
            raise response.error
        if timing:
            _tell_timing(response, request)
        if takes_long(response, forms):
            return await self.loop.run_in_executor(self.pool, _encode_for_stream, response, forms)
        return _encode_for_stream(response, forms)

    def decode(self, call: _Call) -> _Asked | None:
        """Read a request; None if it may take longer than the loop has."""
        known = self._known.decode(call.data)
        if known is not None:
            request = known[0]
            call.id = request.id
            model = self.engine.check_model(request.model_name, request.model_version)
            if model is not None and not model.spec.decoupled:
                call.data = b""
                return known
        if len(call.data) < _LARGE:
            message = _parse(call.data)
            if shares_memory(message):
                return None
            return self._decode(call, message, message.raw_input_contents)
        try:
            rest, raw = split_request(call.data, _MANY_FIELDS)
        except (ValueError, TooManyFieldsError):
            return None
        if len(rest) < _MANY_BYTES:
            message = _parse(rest)
            if not shares_memory(message) and not any(tensor.datatype == "BYTES" for tensor in message.inputs):
                return self._decode(call, message, raw)
        return None

    async def decode_in_thread(self, call: _Call) -> _Asked:
        """Typed contents and strings are converted one by one, which must not hold up everybody else."""
        with self._admission.holding(len(call.data)):
            try:
                return await self.loop.run_in_executor(self.pool, self._decode_at_leisure, call)
            finally:
                call.data = b""  # where the client left, the pool may come to this call much later

    def leave(self) -> None:
        """An inference that was admitted has ended."""
        self._admission.leave()

    def _decode_at_leisure(self, call: _Call) -> _Asked:
        try:
            rest, raw = split_request(call.data, _MOST_FIELDS)
            if len(rest) > _LARGEST_TYPED:
                raise InvalidArgumentError(
                    f"the request has {len(rest)} bytes beside its raw_input_contents, expected at most {_LARGEST_TYPED}: "
                    "send large tensors raw"
                )
            check_field_count(rest, _MOST_FIELDS)
        except ValueError as error:
            if len(call.data) > _LARGEST_WHOLE:  # it would take too long to find out
                raise InternalError(f"Unable to parse request: {error}") from None
            message = _parse(call.data)  # protobuf's own parser has the last word
            return self._decode(call, message, message.raw_input_contents)
        except TooManyFieldsError:
            raise InvalidArgumentError(
                f"the request has more than {_MOST_FIELDS} inputs, outputs, parameters and fields of them"
            ) from None
        return self._decode(call, _parse(rest), raw)

    def _decode(self, call: _Call, message: service_pb2.ModelInferRequest, raw: Sequence[bytes | memoryview]) -> _Asked:
        call.id = message.id
        model = self.engine.check_model(message.model_name, message.model_version)  # first: is it there at all?
        asked = decode_request(message, raw, self._shared)
        if model is None or model.spec.decoupled:
            call.loaded, call.decoupled, call.tells_end = model is not None, True, wants_empty_final(message)
        elif not shares_memory(message):  # a region's name means another one tomorrow
            self._known.learn(call.data, *asked)
        call.data = b""  # the request's views keep it for as long as they need it
        return asked


def _tell_timing(response: InferenceResponse, request: InferenceRequest) -> None:
    response.parameters = {**response.parameters, "server_timing": server_timing(request)}


class _Single:
    """A `ModelInfer` call that was admitted, from its message to its answer."""

    __slots__ = ("_call", "_ended", "_forms", "_inference", "_reading", "_request", "_timing", "_trace")

    def __init__(self, inference: Inference, call: UnaryCall) -> None:
        self._inference = inference
        self._call = call
        self._request: InferenceRequest | None = None
        self._forms: OutputForms = {}
        self._reading: asyncio.Task[_Asked] | None = None
        self._trace: Trace | None = None
        self._ended = self._timing = False

    def begin(self, call: _Call) -> None:
        """Read the message and submit the request; what takes long is read in a thread."""
        inference = self._inference
        self._call.on_gone = self._leave
        try:
            asked = inference.decode(call)
            if asked is None:
                self._reading = inference.loop.create_task(inference.decode_in_thread(call))
                self._reading.add_done_callback(self._read)
                return
            self._submit(asked)
        except Exception as error:
            self._fail(error)

    def _read(self, reading: "asyncio.Task[_Asked]") -> None:
        self._reading = None
        if reading.cancelled():
            return
        try:
            self._submit(reading.result())
        except Exception as error:
            self._fail(error)

    def _submit(self, asked: _Asked) -> None:
        request, self._forms = asked
        headers = self._call.asked
        if headers is not NOTHING_ASKED:
            headers.hand_on(request)
            self._timing = headers.timing
        request.reply = self._reply
        access = self._call.access
        if access is not None:
            access.follow(request)
        self._request = request
        tracer = self._inference.engine.tracer
        if tracer.on:
            self._trace = begin_trace(tracer, request, headers)
        self._inference.engine.submit(request, self._inference.turn_end)

    def _leave(self) -> None:
        """The client is gone."""
        if self._end():
            if self._trace is not None:
                self._trace.close()
            if self._reading is not None:
                self._reading.cancel()
            if self._request is not None:
                self._request.cancel()

    def _reply(self, response: InferenceResponse) -> None:
        """Called by whichever thread ends the request."""
        self._inference.post(self._finish, response)

    def _finish(self, response: InferenceResponse) -> None:
        if self._ended:
            return
        try:
            if self._timing and self._request is not None:
                _tell_timing(response, self._request)
            if response.error is not None:
                self._fail(response.error)
            elif takes_long(response, self._forms):
                encoding = self._inference.loop.run_in_executor(
                    self._inference.pool, encode_response, response, self._forms
                )
                encoding.add_done_callback(self._encoded)
            else:
                self._respond(encode_response(response, self._forms))
        except Exception as error:
            self._fail(error)

    def _encoded(self, encoding: "asyncio.Future[list[Message]]") -> None:
        if encoding.cancelled():
            return
        try:
            self._respond(encoding.result())
        except Exception as error:
            self._fail(error)

    def _respond(self, parts: Parts) -> None:
        if not self._end():
            return
        if self._trace is None:
            self._call.respond(*parts)
        else:
            with self._trace.sending("GRPC"):
                self._call.respond(*parts)

    def _fail(self, error: Exception) -> None:
        if not self._end():
            return
        if self._trace is None:
            self._call.fail(as_server_error(error, "ModelInfer"))
        else:
            with self._trace.sending("GRPC"):
                self._call.fail(as_server_error(error, "ModelInfer"))

    def _end(self) -> bool:
        """Once: nothing is under way any more."""
        if self._ended:
            return False
        self._ended = True
        self._inference.leave()
        return True


def _encode_for_stream(response: InferenceResponse, forms: OutputForms) -> list[Message]:
    parts = encode_response(response, forms, final_flag=True)
    return [_STREAM_RESPONSE + varint(sum(map(len, parts))), *parts]


def _error_for_stream(
    error: ServerError, request_id: str, request: InferenceRequest | None, final: bool = True
) -> bytes:
    """An error in an answer; as in Triton it also tells the model if that had taken the request."""
    answer = service_pb2.ModelStreamInferResponse(error_message=details(str(error)))
    response = answer.infer_response
    response.id = request_id
    if request is not None and request.observer is not None:
        response.model_name, response.model_version = request.model_name, request.model_version
        response.parameters["triton_final_response"].bool_param = final
    return bytes(answer.SerializeToString())


def _parse(data: Message) -> service_pb2.ModelInferRequest:
    try:
        return service_pb2.ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise InternalError(f"Unable to parse request: {error}") from None


def _resolve(future: asyncio.Future[InferenceResponse], response: InferenceResponse) -> None:
    if not future.done():  # the client may have given up
        future.set_result(response)
