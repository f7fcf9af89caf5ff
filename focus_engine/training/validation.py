"""The validation loss, on fixed times and noise, so that it changes only with the weights.

With random times and noise the loss of the same weights varies by 5-8 % between epochs, which would trigger plateau
and early stopping. Here each map keeps its noise and its time, and the times are the midpoints of equal strata.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from focus_engine.data.batches import Batch, Batches
from focus_engine.data.randomness import keyed_generator, keyed_integer
from focus_engine.generative.process import Network, Process
from focus_engine.generative.sampling import Precision
from focus_engine.models.batch_parts import WHOLE, BatchParts
from focus_engine.pulse import PULSE
from focus_engine.training.ranks import ALONE, Ranks

DRAWS = 128
"""Minimum number of (map, time, noise) triples per validation loss; small sets are repeated."""


class Validation:
    """Measurement of the validation loss on fixed maps, times and noise."""

    def __init__(
        self,
        batches: Batches,
        process: Process,
        *,
        seed: int,
        precision: Precision,
        ranks: Ranks = ALONE,
        parts: BatchParts = WHOLE,
    ) -> None:
        """Prepare strata for `batches`, which must neither shuffle nor augment; threads share them in `parts`."""
        self._batches, self._process, self._seed, self._precision = batches, process, seed, precision
        self._ranks, self._parts = ranks, parts
        self._repeats = max(1, -(-DRAWS // batches.n_maps))
        total = self._repeats * batches.n_maps
        order = torch.randperm(total, generator=keyed_generator("strata", seed))
        self._u = (order.double() + 0.5) / total

    @property
    def n_batches(self) -> int:
        """Number of batches per validation."""
        return self._repeats * len(self._batches)

    def losses(self, *networks: Network, cut_short: Callable[[], bool] = lambda: False) -> tuple[float, ...] | None:
        """Return the mean loss of each network on the same triples; None if `cut_short` returned True meanwhile.

        The batch size and the number of ranks change the result only by rounding.
        """
        losses: list[Tensor] = []  # of each batch those of the networks; read at the end, in one wait for the device
        with PULSE.within("validation"), torch.no_grad(), self._precision():
            for batch, u, noise in self._triples():
                if cut_short():
                    return None
                losses += (self._loss(network, batch, u, noise) * batch.weight for network in networks)
        values, count = torch.stack(losses).tolist(), len(networks)
        return tuple(total / len(self._u) for total in self._ranks.sums([sum(values[i::count]) for i in range(count)]))

    def _loss(self, network: Network, batch: Batch, u: Tensor, noise: Tensor) -> Tensor:
        def loss_of(part: slice) -> Tensor:
            return self._process.loss(network, batch.maps[part], batch.cond[part], u=u[part], noise=noise[part])

        return torch.cat(self._parts.map(loss_of, len(batch.maps))).double().sum()

    def _triples(self) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        first = 0
        for _ in range(self._repeats):
            for batch in self._batches.epoch(0):
                u = self._u[first : first + batch.whole][batch.part].to(
                    batch.maps.device, batch.maps.dtype, non_blocking=True
                )
                noise = torch.empty_like(batch.maps)
                for place, one in enumerate(noise, first + batch.part.start):
                    generator = torch.Generator(one.device)
                    generator.manual_seed(keyed_integer("validation", self._seed, place))
                    one.normal_(generator=generator)
                first += batch.whole
                yield batch, u, noise
