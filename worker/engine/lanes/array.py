"""K rows in training as one batched model: stacked state, the loop that advances it, and rows that come and go.

All that a row's next updates depend on, beside its step and its numbers, is its column: parameters, moments, buffers;
behind them lie the averages that its jobs ask for. `Array.column` reads it, `Array.arrange` puts it into a lane of this
array or of another one like it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from worker.engine.augment import augment
from worker.engine.averages import Predict
from worker.engine.dropout import NO_DRAWS, Draws
from worker.engine.lanes import rules
from worker.engine.lanes.averages import Averages
from worker.engine.lanes.criterion import criterion
from worker.engine.lanes.feed import Batch, Feed
from worker.engine.lanes.flow import State, own, shared
from worker.engine.lanes.gradients import gradients
from worker.engine.lanes.measures import measures
from worker.engine.lanes.recording import Record, Recorded
from worker.engine.lanes.row import Member, Row, flat
from worker.engine.precision import Precision
from worker.tasks import Data, Split

ALIGNED = 32
"""A lane's parameters begin at a multiple of so many numbers: products may round as their operands are aligned, and a
lane must not change when it moves up to the place of one that left."""

EVALUATION_BATCH = 2_048

Column: TypeAlias = Sequence[Tensor]
"""One row's state, in the order of `Array._state` and without the dimension of lanes; on any device."""


class Array:
    """The state tensors are [K, ...], K = max(len(rows), `Gradients.least`); lane i is rows[i], others copy lane 0.

    No operation reads across lanes, which is why a lane that is not finite needs no mask until it is taken out.
    """

    def __init__(
        self, first: Member, data: Data, device: torch.device, dtype: torch.dtype, *, record: Record | None = None
    ) -> None:
        """`record`: how updates are recorded; None: each is launched by itself."""
        self.rows: list[Row] = []
        self.job, self.stack = first.job, first.stack
        self._data, self.device, self._dtype = data, device, dtype
        self._spare = -sum(shape.numel() for shape in first.stack.parameters) % ALIGNED
        self._rule = rules.rule(first.job.optimizer)
        size = first.job.batch_size
        self._criterion = criterion(first.job.task, first.job.label_smoothing, data.train.targets[:size])
        self._precisely = Precision(first.job, device)
        self._model = gradients(first.stack, self._criterion, size, device, self._precisely)
        self.feed = Feed(first.job, data.train, device, augment(first.job, data.train.inputs, first.horizon))
        self._averages = Averages(first)
        self._record: Record | None = record
        self._recorded: Recorded | None = None
        # Parameters [K, P], the moments alike, then each buffer [K, ...], then the slots of the averages.
        self._state: list[Tensor] = []

    def column(self, row: Row) -> Column:
        """A copy of the row's state."""
        place = self.rows.index(row)
        return [tensor[place].clone() for tensor in self._state]

    def copied(self, where: torch.device) -> Callable[[Row], Column]:
        """What `column` says of the rows as they are now, for later."""
        state = [tensor.to(where, copy=True) for tensor in self._state]
        places = {row: place for place, row in enumerate(self.rows)}
        return lambda row: [tensor[places[row]] for tensor in state]

    def empty(self) -> None:
        """Take out all rows and let go of their memory; in whatever state an error has left this."""
        self.rows = []
        if self._state:
            self._settle([tensor[:0].clone() for tensor in self._state])

    def fresh(self, member: Member) -> Column:
        """The state before the first update."""
        parameters = flat(member.weights.parameters, self._spare).to(self.device, self._dtype)
        moments = [torch.zeros_like(parameters) for _ in range(self._rule.moments)]
        if self._rule.layerwise:
            pairs = zip(member.weights.parameters, member.factors, strict=True)
            factors = tuple(torch.full(one.shape, factor, dtype=torch.float64) for one, factor in pairs)
            moments[-1] = flat(factors, self._spare).to(self.device, self._dtype)
        buffers = [
            buffer.to(self.device, self._dtype if buffer.is_floating_point() else None)
            for buffer in member.weights.buffers
        ]
        return [parameters, *moments, *buffers, *self._averages.fresh(parameters, buffers)]

    def arrange(self, stay: Sequence[tuple[Row, Row]], join: Sequence[tuple[Row, Column]] = ()) -> None:
        """The rows from now on, bit for bit: those of `stay` have the state of the row beside them, their own or that
        of one from which they fork; those of `join` have the column beside them. All others are taken out.
        """
        places = {id(row): place for place, row in enumerate(self.rows)}
        index = [places[id(origin)] for _, origin in stay]
        changed = bool(join) or index != list(range(len(self.rows)))
        self.rows = [row for row, _ in (*stay, *join)]
        self._decays = any(row.some.job.optimizer.weight_decay for row in self.rows)
        if not changed or not self.rows:
            return
        parts = [tensor[index] for tensor in self._state] if index else []
        if join:
            # The weights of `fresh` are the task's to keep, hence the copy that stacking makes.
            columns = [
                torch.stack(list(slot)).to(self.device) for slot in zip(*(column for _, column in join), strict=True)
            ]
            parts = [torch.cat(pair) for pair in zip(parts, columns, strict=True)] if parts else columns
        self._settle(parts)

    def advance(self, keep_on: Callable[[], bool]) -> int:
        """Train all rows until the first of them comes to its stop, or `keep_on` says no; how many updates that was."""
        steps = min(min(row.stop - row.step, self.feed.even(row)) for row in self.rows)
        numbers, batches = self._columns(steps), self.feed.ahead(self.rows, steps)
        self._averages.ready(self.rows, steps)
        update = self._recorded or self._update
        losses: list[Tensor] = []
        places = [(row.some.mask_seed, row.step) for row in self.rows]
        places += places[:1] * (self._model.least - len(places))
        for index in range(steps):
            if not keep_on():
                break
            draws = Draws(places, after=index)
            losses.append(update(batches[index], numbers[index], draws))
            self._averages.take(index, self._parameters, self._buffers)
        # One transfer, hence one wait for the device.
        told: list[list[float]] = torch.stack(losses, dim=1).tolist() if losses else [[]] * len(self.rows)
        for row, mine in zip(self.rows, told, strict=False):
            row.advance([loss / self._criterion.terms for loss in mine])
        return len(losses)

    def norms(self) -> list[float]:
        """Of each lane, the norm of its parameters' norms, as torch.nn.utils.get_total_norm gives it."""
        each = [torch.linalg.vector_norm(leaf.detach().flatten(1), dim=1) for leaf in self._leaves]
        norms: list[float] = torch.linalg.vector_norm(torch.stack(each), dim=0).tolist()
        return norms

    @torch.no_grad()
    def evaluate(self, rows: Sequence[Row], split: Split, prefix: str) -> list[dict[str, float]]:
        """Of each of `rows`, means over the examples of the split, in evaluation mode.

        Lane by lane, if over so many examples the products of several lanes round as their number is.
        """
        places = [self.rows.index(row) for row in rows]
        groups = [places] if self._model.abreast else [[place] for place in places]
        sums = [self._summed(self._outputs(group), split) for group in groups]
        means = torch.cat([torch.stack(list(one.values()), dim=1) for one in sums]) / len(split)
        return [{f"{prefix}_{name}": value for name, value in zip(sums[0], row, strict=True)} for row in means.tolist()]

    @torch.no_grad()
    def averaged(self, row: Row, working: Callable[[], object]) -> dict[str, float]:
        """What the row's averages and its ensemble score in validation and test; `working` is called at each batch."""
        place, found = self.rows.index(row), dict[str, float]()

        def batches() -> Iterator[Tensor]:
            inputs, size = self._data.train.inputs, self.job.batch_size
            for start in range(0, len(inputs) - size + 1, size):
                working()
                yield inputs[start : start + size]

        slots = partial(_views, shapes=self.stack.parameters, spare=self._spare)
        for name, predict in self._averages.predictors(row.some, place, slots, self._buffers, batches):
            for prefix, split in (("val", self._data.validation), ("test", self._data.test)):
                sums = self._summed(partial(self._of_one, predict), split)
                found |= {f"{prefix}_{metric}_{name}": total.item() / len(split) for metric, total in sums.items()}
        return found

    def _of_one(self, predict: Predict, inputs: Tensor) -> Tensor:
        """The outputs of one model, [1, B, ...]."""
        return self._precisely(predict, inputs).unsqueeze(0)

    def _outputs(self, places: list[int]) -> Callable[[Tensor], Tensor]:
        """What the models in these lanes make of inputs [B, ...] in evaluation, [len(places), B, ...]."""
        leaves, buffers = [leaf[places] for leaf in self._leaves], [buffer[places] for buffer in self._buffers]
        state = State(leaves, buffers, len(places), training=False, draws=NO_DRAWS)
        return lambda inputs: self._model.outputs(shared(inputs), state)

    def _summed(self, outputs: Callable[[Tensor], Tensor], split: Split) -> dict[str, Tensor]:
        """The metrics of each model in `outputs`, [K] each, summed over the split."""
        sums: dict[str, Tensor] = {}
        for start in range(0, len(split), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            measured = measures(self.job.task, outputs(split.inputs[part]), split.targets[part])
            sums = {name: sums.get(name, 0) + value.to(self._dtype) for name, value in measured.items()}
        return sums

    @torch.no_grad()
    def probe(self, column: Column) -> list[Tensor]:
        """What the model of this column makes of the first examples: outputs, losses and metrics."""
        first = slice(0, self.job.batch_size)
        train = Split(self._data.train.inputs[first], self._data.train.targets[first])
        parameters = _views(column[0].unsqueeze(0), self.stack.parameters, self._spare)
        buffers = [buffer.unsqueeze(0) for buffer in column[1 + self._rule.moments :][: len(self.stack.buffers)]]
        state = State(parameters, buffers, 1, training=False, draws=NO_DRAWS)
        outputs = self._model.outputs(shared(train.inputs), state)
        losses = self._criterion(outputs, train.targets, one_batch=True)
        metrics = self.job.task.metrics(outputs[0], train.targets)
        return [outputs, losses, *(metrics[name] for name in sorted(metrics))]

    def _update(self, batch: Batch, numbers: Tensor, draws: Draws) -> Tensor:
        """One update of every lane; the losses before it, [K], as the criterion gives them."""
        inputs, targets = self.feed.examples(batch)
        state = State(self._leaves, self._buffers, self._lanes, training=True, draws=draws)
        losses, found = self._model(shared(inputs) if batch.shared else own(inputs), targets, state)
        *columns, decay = numbers.unbind()
        with torch.no_grad():
            torch.cat([*(gradient.flatten(1) for gradient in found), self._blank], dim=1, out=self._gradients)
            self._rule.update(
                self._parameters, self._gradients, self._moments, columns, decay if self._decays else None
            )
        return losses

    def _settle(self, state: Sequence[Tensor]) -> None:
        """Take over these tensors, padded to as many lanes as there must be."""
        missing = self._model.least - len(self.rows)
        state = [torch.cat([tensor, tensor[:1].clone()]) if missing > 0 else tensor for tensor in state]
        if self._record is not None and self._state and len(self._state[0]) == len(state[0]):
            # Recordings write where the state was.
            for held, given in zip(self._state, state, strict=True):
                held.copy_(given)
            return
        self._state = state
        if self._record is not None:
            self._recorded = Recorded(self._update, self._record, self.device)
        moments = self._rule.moments
        self._lanes = len(self._state[0])
        self._parameters, self._moments = self._state[0], self._state[1 : 1 + moments]
        behind = 1 + moments + len(self.stack.buffers)
        self._buffers = self._state[1 + moments : behind]
        self._averages.slots = self._state[behind:]
        self._gradients = torch.empty_like(self._parameters)
        self._blank = self._parameters.new_zeros(self._lanes, self._spare)
        # Leaves of autograd that are views: an update of the whole is an update of each.
        parts = _views(self._parameters, self.stack.parameters, self._spare)
        self._leaves = [part.detach().requires_grad_() for part in parts]

    def _columns(self, steps: int) -> Tensor:
        """The optimizer's numbers of the next steps, [steps, n, K, 1]."""
        tables = [row.some.numbers[row.step : row.step + steps] for row in self.rows]
        tables += tables[:1] * (self._model.least - len(tables))
        return torch.from_numpy(np.stack(tables, axis=2)).to(self.device, self._dtype).unsqueeze(-1)


def _views(parameters: Tensor, shapes: Sequence[torch.Size], spare: int) -> list[Tensor]:
    """The parameters [K, P] slot by slot, each [K, *shape]."""
    *parts, _ = torch.split(parameters, [*(shape.numel() for shape in shapes), spare], dim=1)
    return [part.view(len(parameters), *shape) for part, shape in zip(parts, shapes, strict=True)]
