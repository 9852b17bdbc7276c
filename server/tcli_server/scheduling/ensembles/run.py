"""One request on its way through the steps of an ensemble."""

import threading
import time
from collections.abc import Callable, Container, Mapping
from functools import partial

from tcli_server.errors import InternalError, ServerError, UnavailableError, error_of_kind
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest, InferenceResponse, Inputs
from tcli_server.scheduling import Later
from tcli_server.scheduling.ensembles.answers import Answers
from tcli_server.scheduling.ensembles.graph import Plan, Step
from tcli_server.scheduling.ensembles.limits import StepLimits
from tcli_server.scheduling.ensembles.member import Member
from tcli_server.scheduling.ensembles.scope import Scope
from tcli_server.scheduling.ensembles.sequence import Sequence, continued
from tcli_server.scheduling.ensembles.shapes import inside, passed_on
from tcli_server.spec import ModelSpec
from tcli_server.window import LIMIT, ResponseWindow

_LEAST_SIZE = 1 << 12
"""Bytes that a response of a decoupled step counts at least, as what is made of it takes memory too."""


class Run:
    """Starts each step as soon as its inputs are there, and ends the request when nothing is left to run.

    Each response of a decoupled step is a scope of its own, in which the steps that follow run once more. Their answers
    leave in the order of those responses. A decoupled step waits while what is made of its responses, or the client that
    takes it, is too far behind.

    It is the request's `queue`: when the request ends otherwise, for example because its client is gone, the steps that
    run are cancelled.

    Args:
        members: step -> its model, leased; given back at the end.
        patient: the decoupled steps that may be made to wait.
        limits: how many runs of a step there may be; None for any number.
        done: called once, when nothing of it runs any more.
    """

    def __init__(
        self,
        request: InferenceRequest,
        spec: ModelSpec,
        plan: Plan,
        members: Mapping[Step, Member],
        statistics: InferenceStatistics,
        patient: Container[Step],
        limits: StepLimits | None,
        done: Callable[[], None],
    ) -> None:
        self._request = request
        self._spec = spec
        self._plan = plan
        self._members = members
        self._statistics = statistics
        self._patient = patient
        self._limits = limits
        self._done = done
        self._lock = threading.Lock()
        self._root = Scope(plan)
        self._ready = [(self._root, step) for step in self._root.startable()]
        self._admitted: list[tuple[Scope, Step]] = []  # which `limits` have counted already
        self._deferred = 0  # which wait for that
        self._unstarted = set(plan.steps)
        self._running: dict[InferenceRequest, Sequence] = {}
        self._sequence: Sequence = (request.sequence_id, request.sequence_start, request.sequence_end)
        self._answers = Answers(request, spec, self._sequence)
        self._error: ServerError | None = None
        self._going = False  # a thread is about to start steps
        self._given_up = False
        self._over = False
        self._times = [0, 0, 0]  # nanoseconds that all steps together took: inputs, the models, outputs

    def begin(self, later: Later | None) -> None:
        """Start the first steps."""
        inputs = self._request.begin()
        self._request.queue = self
        request = self._request
        request.queue_ns = request.compute_start_ns = time.monotonic_ns()
        if inputs is None or request.ended:
            self._given_up = True
        else:
            tensors, batches = self._spec.inputs, bool(self._spec.max_batch_size)
            self._root.tensors.update({name: inside(tensors[name], inputs[name], batches) for name in inputs})
            self._root.batches.update(dict.fromkeys(inputs, batches))
        self._go_on(later)

    def release(self, request: InferenceRequest) -> None:
        """As `Holder.release`: the request has ended, perhaps before its steps have."""
        request.queue = None
        with self._lock:
            gone = not self._over
            self._given_up = True
            running, unstarted = list(self._running), list(self._unstarted)
        for inner in running:
            inner.cancel()
        if gone and request.sequence_id and not request.sequence_start:
            for step in unstarted:  # there, too, nobody will go on with the sequence
                self._members[step].abandon(request.sequence_id, request.connection)
        if gone:
            self._withdraw()
            self._go_on(None)

    # --- steps ---

    def _go_on(self, later: Later | None) -> None:
        """Start what can start, answer what can be answered, and end the request if nothing runs any more.

        A step may be answered before its submission returns. Whoever hears of that while somebody is here leaves what
        follows to him, as calls within calls would run out of stack, and answers would get out of order.
        """
        with self._lock:
            if self._going:
                return
            self._going = True
        while True:
            with self._lock:
                started, unused = self._start()
                answers, closed = self._settle()
                busy = self._running or self._ready or self._admitted or self._deferred
                if not busy or not (started or unused or answers or closed):
                    self._going = False
                    over = not busy and not self._over
                    self._over = self._over or over
                    break
            for step, inner in started:
                self._submit(step, inner, later)
            self._leave(unused)
            for scope in answers:
                self._answer(scope)
            for scope in closed:
                if scope.window is not None:
                    self._request.when_room(partial(scope.window.take, scope.size))
        self._leave(unused)
        if over:
            self._end(answers)

    def _start(self) -> tuple[list[tuple[Step, InferenceRequest]], list[Step]]:
        """The requests of the steps that can start, and the steps that were admitted and will not; with the lock held."""
        ready, self._ready = self._ready, []
        admitted, self._admitted = self._admitted, []
        if self._error is not None or self._given_up:
            return [], [step for _, step in admitted]
        started = [(step, self._made(scope, step)) for scope, step in admitted]
        for scope, step in ready:
            if step is self._plan.answer:
                scope.answerable = True
            elif self._limits is None or self._limits.enter(step.index, self, partial(self._admit, scope, step)):
                started.append((step, self._made(scope, step)))
            else:
                self._deferred += 1
                if scope.window is not None:  # whoever made this has to wait, too
                    scope.window.add(LIMIT)
        return started, []

    def _admit(self, scope: Scope, step: Step) -> None:
        """The limits let a run begin."""
        with self._lock:
            self._deferred -= 1
            self._admitted.append((scope, step))
        if scope.window is not None:
            scope.window.take(LIMIT)
        self._go_on(None)

    def _withdraw(self) -> None:
        """What waits for the limits need not begin any more."""
        if self._limits is not None:
            count = self._limits.withdraw(self)
            with self._lock:
                self._deferred -= count

    def _leave(self, steps: list[Step]) -> None:
        if self._limits is not None:
            for step in steps:
                self._limits.leave(step.index)

    def _made(self, scope: Scope, step: Step) -> InferenceRequest:
        self._unstarted.discard(step)
        spec = self._members[step].spec
        inputs: Inputs = {}
        sequence = self._sequence
        for name, tensor in step.inputs.items():
            found = scope.find(tensor)
            if found is not None:  # else it was left out, which the model may or may not allow
                owner, array = found
                wanted = spec.inputs.get(name)
                dims = wanted.dims if wanted is not None else array.shape
                inputs[name] = passed_on(array, owner.batches[tensor], bool(spec.max_batch_size), dims)
                sequence = owner.sequences.get(tensor, sequence)
        scope.read(step)
        outer = self._request
        decoupled = step in self._plan.decoupled
        inner = InferenceRequest(
            step.model,
            inputs,
            self._plan.wanted[step],
            step.version,
            outer.id,
            dict(outer.parameters),
            priority=outer.priority,
            timeout_us=self._time_left_us(),
            sequence_id=sequence[0],
            sequence_start=sequence[1],
            sequence_end=sequence[2],
            connection=outer.connection,
            takes_many=decoupled,
            window=ResponseWindow() if step in self._patient else None,
            arrival_ns=time.monotonic_ns(),
        )
        if outer.trace is not None:
            inner.trace = outer.trace.step()
        inner.reply = partial(self._answered, scope, step, inner)
        self._running[inner] = sequence
        return inner

    def _time_left_us(self) -> int:
        """What is left of the request's timeout; Triton gives every step all of it anew."""
        timeout_us = self._request.timeout_us
        if not timeout_us:
            return 0
        return max(1, timeout_us - (time.monotonic_ns() - self._request.arrival_ns) // 1000)

    def _submit(self, step: Step, inner: InferenceRequest, later: Later | None) -> None:
        try:
            if not self._members[step].submit(inner, later, leased=True):
                raise UnavailableError(f"model '{step.model}' has stopped")
        except ServerError as error:
            inner.fail(error)
        except Exception as error:
            LOG.exception("a step of ensemble '%s' could not be submitted", self._spec.name)
            inner.fail(InternalError(f"{type(error).__name__}: {error}"))
        if self._given_up:  # its end did not see this step yet
            inner.cancel()

    def _answered(self, scope: Scope, step: Step, inner: InferenceRequest, response: InferenceResponse) -> None:
        error = response.error
        with self._lock:
            sequence = self._running[inner]
            if response.final:
                del self._running[inner]
            if error is None:
                try:
                    self._take(scope, step, inner, sequence, response)
                except ServerError as wrong:
                    error = wrong
                if response.final:
                    self._charge(inner)
        if error is not None:
            text = f"in ensemble '{self._spec.name}', {error} (step {step.index + 1}, model '{step.model}')"
            self._fail(error_of_kind(error.kind, text))
        self._go_on(None)
        if response.final:
            self._leave([step])

    def _fail(self, error: ServerError) -> None:
        """Start nothing more, and end with this error when nothing runs any more, unless there is an earlier one."""
        with self._lock:
            if self._error is not None or self._given_up:
                return
            self._error = error
            needless = [inner for inner in self._running if inner.takes_many]
        for inner in needless:  # they could go on for ever
            inner.cancel()
        self._withdraw()

    def _take(
        self, scope: Scope, step: Step, inner: InferenceRequest, sequence: Sequence, response: InferenceResponse
    ) -> None:
        """Take a response of a step: what can start now is ready; with the lock held.

        Raises:
            InvalidArgumentError: it says something wrong of its sequence.
        """
        if step not in self._plan.decoupled:
            self._put(scope, step, sequence, response)
            self._ready += scope.done(step)
            return
        if response.final:
            scope.drained = True
        if response.empty or self._error is not None or self._given_up:
            return
        size = max(_LEAST_SIZE, response.size)
        if inner.window is not None:
            inner.window.add(size)
        child = Scope(self._plan, scope, inner.window, size)
        self._put(child, step, sequence, response)
        scope.children.append(child)
        self._ready += [(child, follower) for follower in child.startable()]

    def _put(self, scope: Scope, step: Step, sequence: Sequence, response: InferenceResponse) -> None:
        batches = bool(self._members[step].spec.max_batch_size)
        if response.parameters:
            sequence = continued(sequence, response.parameters)
        for name, array in response.outputs.items():
            tensor = step.outputs.get(name)
            if tensor is not None:
                scope.tensors[tensor] = array
                scope.batches[tensor] = batches
                if sequence != self._sequence:
                    scope.sequences[tensor] = sequence

    def _charge(self, inner: InferenceRequest) -> None:
        times = self._times
        times[0] += inner.compute_input_end_ns - inner.compute_start_ns
        times[1] += inner.compute_output_start_ns - inner.compute_input_end_ns
        times[2] += inner.compute_end_ns - inner.compute_output_start_ns

    # --- answers, and the end ---

    def _settle(self) -> tuple[list[Scope], list[Scope]]:
        """The scopes whose answers can leave, in order, and those that are over; with the lock held."""
        answers: list[Scope] = []
        closed: list[Scope] = []
        scope = self._root
        while self._error is None and not self._given_up:
            if scope.level < self._plan.depth:
                if scope.children:
                    scope = scope.children[0]
                    continue
                if not scope.drained:
                    break
            elif scope.answerable:
                scope.answerable = False
                answers.append(scope)
            else:
                break
            if scope.parent is None:
                break
            closed.append(scope.parent.children.popleft())
            scope = scope.parent
        return answers, closed

    def _answer(self, scope: Scope) -> None:
        """Send an answer that is not the last one."""
        answer = self._answers.make(scope)
        if isinstance(answer, InferenceResponse):
            self._request.send(answer, final=False)
        elif answer is not None:
            self._fail(answer)

    def _end(self, answers: list[Scope]) -> None:
        request = self._request
        for scope in answers[:-1]:
            self._answer(scope)
        last: InferenceResponse | ServerError | None = self._error
        if last is None and not request.ended:
            last = self._answers.make(answers[-1] if answers else None)
        for member in self._members.values():
            member.give_back()
        if isinstance(last, ServerError):
            request.fail(last)
        elif not request.ended:
            self._stamp()
            if last is not None:
                request.send(last)
            else:
                request.finish()
        self._done()

    def _stamp(self) -> None:
        """Charge the request what its steps took together, as Triton does; that may be more than passed."""
        request, times = self._request, self._times
        request.compute_input_end_ns = request.compute_start_ns + times[0]
        request.compute_output_start_ns = request.compute_input_end_ns + times[1]
        request.compute_end_ns = request.compute_output_start_ns + times[2]
        self._statistics.record_execution(request.batch_size, times[0], times[1], times[2])
