"""The state of one trial in training: model, optimizer, position; and the loop that advances it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from worker.engine import channels_last, divergence, dropout, optimizers
from worker.engine.augment import DRAWS, augment, check_sizes
from worker.engine.averages import Averages, Predict, state_of
from worker.engine.engine import Steering
from worker.engine.job import Job
from worker.engine.plan import WEIGHTS, derived_seed, epoch_luck, epoch_order, horizon_of, mask_seed
from worker.engine.precision import Precision
from worker.engine.randomness import RandomStream
from worker.engine.rates import rates
from worker.engine.snapshot import Snapshot, UnfitError, kept, put_back
from worker.tasks import Split, StepContext, Stepping, resident

EVALUATION_BATCH = 2_048

VERSION = 1
"""Of solo's snapshots: it changes when what they hold does."""


class Training:
    """One trial on one device. `step` updates have been made; the next one is update `step`."""

    def __init__(self, job: Job, device: torch.device, steering: Steering, *, dtype: torch.dtype | None = None) -> None:
        """`dtype`: None is the task's own."""
        self._job, self._device, self._steering, self._dtype = job, device, steering, dtype
        self._data = resident(job.task, device, dtype)
        self.horizon = horizon_of(job, len(self._data.train))
        self.rates = rates(job, self.horizon)
        self._augment = augment(job, self._data.train.inputs, self.horizon)
        self._precisely = Precision(job, device)
        self._stream = RandomStream(derived_seed(job.seed, WEIGHTS), device)
        with self._stream.active():
            self._model = job.task.model().to(device=device, dtype=dtype).train()
        check_sizes(self._model, self._augment, self._data.train)
        self._dropouts, self._mask_seed = dropout.install(self._model), mask_seed(job)
        channels_last.install(self._model, job.task.model, self._data.train.inputs)
        (lr,), momenta = self.rates.lr(0, 1), self.rates.momentum(0, 1)
        momentum = job.optimizer.momentum if momenta is None else momenta[0]
        groups = optimizers.groups(job.optimizer, self._model)
        self._optimizer = optimizers.build(job.optimizer, groups, lr=lr, momentum=momentum)
        self._update = self._of_its_own if isinstance(job.task, Stepping) else self._usual
        self._averages = Averages(job, self.horizon, self._model)
        self.step = 0
        self._epoch: tuple[int, Tensor, Tensor | None] | None = None
        self._first_loss = torch.zeros((), device=device, dtype=dtype)
        self._sum, self._count = torch.zeros((), device=device, dtype=dtype), 0
        self._epoch_sum, self._epoch_count = 0.0, 0
        self._saved = 0

    @property
    def checkpoint_due(self) -> bool:
        """Whether a snapshot is to be taken now, and would keep anything new."""
        return self.step > self._saved and self._steering.checkpoint_due(self._job.id)

    def advance(self, stop: int) -> bool:
        """Make the updates up to step `stop`, in the same epoch; False when a drop or a snapshot is due before that."""
        with self._stream.active():
            return self._update_until(stop)

    def snapshot(self) -> Snapshot:
        """All of it but what follows from the job: `restore` continues bit for bit."""
        self._saved = self.step
        self._steering.checkpointed(self._job.id)
        losses = {"first": self._first_loss, "sum": self._sum}
        return Snapshot(
            engine="solo",
            version=VERSION,
            job=self._job.fingerprint,
            device=self._device.type,
            step=self.step,
            tensors=kept("model", state_of(self._model))
            | kept("optimizer", optimizers.state(self._optimizer))
            | kept("random", self._stream.states)
            | kept("loss", losses)
            | kept("average", self._averages.tensors),
            counters={
                "count": self._count,
                "epoch_sum": self._epoch_sum,
                "epoch_count": self._epoch_count,
                "rates": self.rates.state,
            },
        )

    def restore(self, saved: Snapshot) -> None:
        """Continue from a snapshot. Raises UnfitError when it is not one of this job, and may be of no use after."""
        saved.check(engine="solo", version=VERSION, job=self._job.fingerprint, device=self._device)
        if not 0 < saved.step < self.horizon.total_steps:
            raise UnfitError(f"it was taken after {saved.step} of {self.horizon.total_steps} updates")
        put_back(saved.part("model"), state_of(self._model))
        self._averages.restore(saved.part("average"), saved.step)
        optimizers.restore(self._optimizer, saved.part("optimizer"))
        put_back(saved.part("loss"), {"first": self._first_loss, "sum": self._sum})
        self._stream.states = saved.part("random")
        self._count, self._epoch_count = int(saved.number("count")), int(saved.number("epoch_count"))
        self._epoch_sum = saved.number("epoch_sum")
        self.rates.state = saved.counters.get("rates")
        self.step = self._saved = saved.step

    def _update_until(self, stop: int) -> bool:
        job, optimizer, train = self._job, self._optimizer, self._data.train
        (order, luck), size = self._epoch_order(), job.batch_size
        row = self.step % self.horizon.steps_per_epoch * size
        if row == 0:
            self._epoch_sum, self._epoch_count = 0.0, 0
        momenta = self.rates.momentum(self.step, stop)
        for index, lr in enumerate(self.rates.lr(self.step, stop)):
            if self._steering.dropped(job.id) or self.checkpoint_due:
                return False
            optimizers.set_lr(optimizer, lr)
            if momenta is not None:
                optimizers.set_momentum(optimizer, momenta[index])
            dropout.draw(self._dropouts, dropout.Draws([(self._mask_seed, self.step)]))
            rows = order[row : row + size]
            inputs = train.inputs[rows]
            if self._augment is not None and luck is not None:
                inputs = self._augment(inputs, luck[row : row + size], self._augment.height(self.step))
            loss = self._update(inputs, train.targets[rows], lr)
            self._sum += loss
            if self.step == 0:
                self._first_loss = loss
            self._count += 1
            self.step += 1
            row += size
            if job.averaging:
                self._averages.update(self.step)
        return True

    def _usual(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        """One update; the loss before it."""
        outputs = self._precisely(self._model, inputs)
        loss = self._job.task.loss(outputs, targets, label_smoothing=self._job.label_smoothing)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
        return loss.detach()

    def _of_its_own(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        """The same by the task's own step."""
        assert isinstance(self._job.task, Stepping)
        context = StepContext(
            step=self.step,
            total_steps=self.horizon.total_steps,
            steps_per_epoch=self.horizon.steps_per_epoch,
            lr=lr,
            label_smoothing=self._job.label_smoothing,
        )
        return self._job.task.step(self._model, self._optimizer, Split(inputs, targets), context).detach()

    def train_loss(self) -> tuple[float, str | None]:
        """The mean training loss since this was last asked, and, when training has diverged, how that shows."""
        # One transfer, hence one wait for the device.
        total, first = torch.stack([self._sum, self._first_loss]).tolist()
        mean = total / self._count
        self._epoch_sum += total
        self._epoch_count += self._count
        self._sum, self._count = torch.zeros((), device=self._device, dtype=self._dtype), 0
        return mean, divergence.of_loss(mean, first, self.step)

    def epoch_loss(self) -> float:
        """The mean training loss of the epoch so far, as of the last `train_loss()`."""
        return self._epoch_sum / self._epoch_count

    def overflown(self) -> str | None:
        """When a parameter is no finite number, that; a loss need not show it where an activation has died."""
        size = torch.nn.utils.get_total_norm(self._model.parameters())
        return divergence.of_parameters(size.item(), self.step)

    def validate(self) -> dict[str, float]:
        return self._evaluate(self._predict, self._data.validation, "val_{}")

    def test(self) -> dict[str, float]:
        return self._evaluate(self._predict, self._data.test, "test_{}")

    def averaged(self) -> dict[str, float]:
        """What was asked for in `averaging`, validated and tested: `val_loss_swa` and so on."""
        found: dict[str, float] = {}
        with self._stream.active():
            for name, predict in self._averages.predictors(self._batches):
                found |= self._evaluate(predict, self._data.validation, f"val_{{}}_{name}")
                found |= self._evaluate(predict, self._data.test, f"test_{{}}_{name}")
        return found

    def _batches(self) -> Iterator[Tensor]:
        """The training inputs in batches of the job's size, in the order of the data; a rest is left out."""
        inputs, size = self._data.train.inputs, self._job.batch_size
        for start in range(0, len(inputs) - size + 1, size):
            self._steering.dropped(self._job.id)
            yield inputs[start : start + size]

    def _predict(self, inputs: Tensor) -> Tensor:
        self._model.eval()
        outputs: Tensor = self._model(inputs)
        return outputs

    @torch.no_grad()
    def _evaluate(self, predict: Predict, split: Split, named: str) -> dict[str, float]:
        """Means over the examples of the split, each `named` by its metric."""
        sums: dict[str, Tensor] = {}
        for start in range(0, len(split), EVALUATION_BATCH):
            self._steering.dropped(self._job.id)  # to be asked shows that a long evaluation is not a hang
            part = slice(start, start + EVALUATION_BATCH)
            measured = self._job.task.metrics(self._precisely(predict, split.inputs[part]), split.targets[part])
            sums = {
                name: sums.get(name, 0) + value.to(self._dtype or torch.float32) for name, value in measured.items()
            }
        self._model.train()
        totals = torch.stack(list(sums.values())).tolist()
        return {named.format(name): total / len(split) for name, total in zip(sums, totals, strict=True)}

    def _epoch_order(self) -> tuple[Tensor, Tensor | None]:
        """The order of the training examples, and the luck of each place in it."""
        epoch, seed, examples = self.step // self.horizon.steps_per_epoch, self._job.seed, len(self._data.train)
        if self._epoch is None or self._epoch[0] != epoch:
            order = epoch_order(seed, epoch, examples).to(self._device)
            luck = None if self._augment is None else epoch_luck(seed, epoch, examples, DRAWS).to(self._device)
            self._epoch = (epoch, order, luck)
        return self._epoch[1:]
