"""Text generation: a prefill, then decode steps, one token each.

>>> _, (first, *others) = open_stages([prefill, decode], device, arch)
>>> generator = Generator(first, others)
>>> for step in generator.steps([464, 3290], 16, Greedy()):
...     step.token

The prompt's ids stand at the front of the prefill, padding (id 0) behind: causal attention hides it
from what precedes it, and its keys and values are left behind. A prefill gives the logits of its
last position, so the last id of a shorter prompt goes through a decode step, as do the ids of a
prompt that is longer than the prefill. A decode step at position p computes row p of the cache; it
attends to rows 0 to p - 1 and to itself (attention_mask [1, B + 1]: the last element is itself).

Several decode stages are buckets, caches of B rows each: the smallest that holds row p does step p.
In the device they are the first B rows of one cache.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api.inputs import end_of_positions
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.base import DeviceResult, Progress
from jacquard.runtime.generation import decoder, weights
from jacquard.runtime.generation.cache import POSITION, HostCache, Stage, cache_rows, states
from jacquard.runtime.generation.decoder import DECODE, IDS, LOGITS, MASK, POSITIONS, PREFILL
from jacquard.runtime.generation.sampling import Sampler

ProgressOf = Callable[[pb.Program], contextlib.AbstractContextManager[Callable[[Progress], None]]]


@dataclasses.dataclass(frozen=True)
class Step:
    """One run of the prefill or of a decode step."""

    stage: str  # PREFILL or DECODE
    bucket: int  # rows of the cache; of a prefill, positions of its prompt
    position: int  # the last that it computed
    token: int | None  # None while the prompt is read
    logits: np.ndarray | None  # float32[V] that the token was chosen by
    result: DeviceResult
    to_device_bytes: int  # of device memory, written by the host for this run
    from_device_bytes: int  # and read


class Generator:
    """A prefill and its decode steps.

    Attributes:
      ids: how many token ids there are.
      longest: how many ids a prompt and its tokens can have together.
    """

    def __init__(self, prefill: Stage, decodes: Sequence[Stage]) -> None:
        """decodes: a stage for each bucket, at least one, in any order; sessions of one memory
        where caches are in place.

        Raises UserError: Programs of different configurations, graphs that are no prefill and
        decode steps, or whose weights or caches do not match.
        """
        decoder.check_fingerprints(prefill.program, [stage.program for stage in decodes])
        raise_if_any(decoder.interface(PREFILL, prefill))
        raise_if_any(line for stage in decodes for line in decoder.interface(DECODE, stage))
        self._prefill = prefill
        opened = [(cache_rows(prefill.program, stage.program), stage) for stage in decodes]
        self._buckets = sorted(opened, key=lambda bucket: bucket[0])
        # What the prefill does not have, as a table of positions, all of them must share.
        longest = max((s.program for s in decodes), key=weights.size_bytes)
        for rows, stage in self._buckets:
            decoder.check_rows(stage, rows)
            place = f"decode {stage.program.model}"
            weights.check(prefill.program, stage.program, place, "the prefill")
            if stage.program is not longest:
                weights.check(longest, stage.program, place, f"decode {longest.model}")
        in_place = bool(states(prefill.program))
        if in_place and any(s.session.memory is not prefill.session.memory for s in decodes):
            raise ValueError("sessions: must share one DeviceMemory, where their caches are")
        self._host = None if in_place else HostCache(decodes)
        words = {decoder.logits(stage.program).shape[-1] for stage in (prefill, *decodes)}
        if len(words) > 1:
            raise UserError(
                f"logits: must be of the same vocabulary in all graphs, got {sorted(words)} words; "
                "export all of one model"
            )
        programs = [prefill.program, *(stage.program for stage in decodes)]
        self.ids = decoder.index_limit(programs, IDS) or words.pop()
        self._rows = self._buckets[-1][0]
        self._positions = decoder.index_limit(programs, POSITIONS)
        self.longest = min(self._rows, self._positions or self._rows)

    def check(self, prompt: Sequence[int], count: int) -> None:
        """Raises UserError: why `count` tokens cannot follow this prompt."""
        check_counts(prompt, count)
        wrong = [token for token in prompt if not 0 <= token < self.ids]
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UserError(
                f"prompt: token ids must be from 0 to {self.ids - 1}, got {wrong[0]}{more}; use "
                "ids of the model's own vocabulary"
            )
        total = len(prompt) + count
        if total > self.longest:
            limit, why = f"the {self._rows} rows of the largest cache", ""
            if self._positions is not None and self._positions < self._rows:
                limit = f"the model's {self._positions} positions"
                why = end_of_positions(self._positions) + "; "
            raise UserError(
                f"prompt and tokens: must fit into {limit}, got {len(prompt)} ids and {count} "
                f"tokens, {total}; {why}shorten the prompt or ask for fewer tokens"
            )

    def steps(
        self,
        prompt: Sequence[int],
        count: int,
        sampler: Sampler,
        progress: ProgressOf | None = None,
    ) -> Iterator[Step]:
        """Runs until `count` tokens are there; each step is yielded when it is done.

        Args:
          prompt: token ids.
          progress: Program -> context whose value is told how far its run is.

        Raises UserError before anything runs for a wrong prompt, DeviceError if the machine stops.
        """
        self.check(prompt, count)
        return self._steps([int(token) for token in prompt], count, sampler, progress or _nothing)

    def _steps(
        self, ids: list[int], count: int, sampler: Sampler, progress: ProgressOf
    ) -> Iterator[Step]:
        wanted = len(ids) + count
        done = 0  # positions that are computed
        if self._prefilled(len(ids)):
            step = self._run_prefill(ids, sampler, progress)
            done = step.position + 1
            yield step
            if step.token is not None:
                ids.append(step.token)
        while len(ids) < wanted:
            rows, stage = next(bucket for bucket in self._buckets if bucket[0] > done)
            chosen_by = sampler if done + 1 == len(ids) else None
            step = self._run_decode(stage, rows, done, ids[done], chosen_by, progress)
            done += 1
            yield step
            if step.token is not None:
                ids.append(step.token)

    def _prefilled(self, length: int) -> int:
        """How many positions of a prompt the prefill computes."""
        held = self._prefill.session.input_shapes[IDS][1]
        if length > held or self._gives_all_logits() or length == held:
            return min(length, held)
        return length - 1

    def _gives_all_logits(self) -> bool:
        shape = tuple(decoder.logits(self._prefill.program).shape)
        return shape[-2:-1] == self._prefill.session.input_shapes[IDS][1:] != (1,)

    def _run_prefill(
        self, ids: list[int], sampler: Sampler, progress: ProgressOf
    ) -> Step:
        program, session = self._prefill.program, self._prefill.session
        shapes = session.input_shapes
        held, count = shapes[IDS][1], self._prefilled(len(ids))
        inputs = {IDS: np.zeros((1, held), np.int64)}
        inputs[IDS][0, :count] = ids[:count]
        if POSITIONS in shapes:
            inputs[POSITIONS] = np.arange(held, dtype=np.int64)[None]
        if MASK in shapes:
            inputs[MASK] = (np.arange(held) < count).astype(np.int64)[None]
        with progress(program) as told:
            outputs = session.run(inputs, progress=told)
        if self._host is not None:
            self._host.fill(self._prefill)
        logits = None
        if count == len(ids):
            rows_of_logits = outputs[LOGITS].reshape(-1, outputs[LOGITS].shape[-1])
            logits = rows_of_logits[count - 1 if self._gives_all_logits() else -1]
        return _step(PREFILL, held, count - 1, logits, sampler, session)

    def _run_decode(
        self,
        stage: Stage,
        rows: int,
        position: int,
        token: int,
        sampler: Sampler | None,
        progress: ProgressOf,
    ) -> Step:
        """sampler: None where the prompt says what follows."""
        session = stage.session
        mask = np.zeros((1, rows + 1), np.int64)
        mask[0, :position] = mask[0, -1] = 1
        inputs = {IDS: np.array([[token]]), MASK: mask}
        if POSITIONS in session.input_shapes:
            inputs[POSITIONS] = np.array([[position]])
        arguments = {POSITION: position} if self._host is None else None
        if self._host is not None:
            inputs |= self._host.inputs(stage)
        with progress(stage.program) as told:
            outputs = session.run(inputs, progress=told, arguments=arguments)
        if self._host is not None:
            self._host.keep(stage, position)
        logits = outputs[LOGITS].reshape(-1) if sampler else None
        return _step(DECODE, rows, position, logits, sampler, session)


def check_counts(prompt: Sequence[int], count: int) -> None:
    """What no model can do. Raises UserError."""
    if not prompt:
        raise UserError("prompt: must have at least one token id, got none; begin with one")
    if count < 1:
        raise UserError(f"tokens: must be at least 1, got {count}; ask for one or more")


def _step(
    stage: str,
    bucket: int,
    position: int,
    logits: np.ndarray | None,
    sampler: Sampler | None,
    session: Session,
) -> Step:
    token = sampler.choose(logits) if sampler and logits is not None else None
    run = session.last
    return Step(stage, bucket, position, token, logits, run.result, run.to_device_bytes,
                run.from_device_bytes)


@contextlib.contextmanager
def _nothing(program: pb.Program) -> Iterator[None]:
    """Nobody looks."""
    del program
    yield
