"""Rank UniPC (2302.04867, as diffusers has it) on the problems of `sampler_ranking.py`, beside FOCUS's own samplers.

UniPC is not among FOCUS's samplers; this measures what it would gain. Steps are those of EDM, even in log-SNR with soft
ends, and alike for all. Run `python scripts/unipc_ranking.py [NFE ...]`; needs diffusers; prints a table in Markdown.
"""

import math
import sys

import sampler_ranking as problems
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from focus_engine.config.samplers import SAMPLERS
from focus_engine.generative.samplers.spacing import spaced_times

PROCESS = problems.PROCESSES["edm"]
OURS = ("ab2", "abm2", "midpoint")


def unipc(nfe: int, order: int) -> str:
    """Return the errors of UniPC (bh2, lower orders at the end) as `sampler_ranking.cell` does.

    diffusers keeps x in units of √(1 + σ²), and its network gives the map.
    """
    times = spaced_times(PROCESS, nfe, "logsnr")
    peer = UniPCMultistepScheduler(
        num_train_timesteps=1000, solver_order=order, prediction_type="sample", final_sigmas_type="zero"
    )
    peer.set_timesteps(nfe)
    peer.sigmas = torch.tensor(times, dtype=torch.float64)
    x = problems.start_of(PROCESS) / math.hypot(1, times[0])
    for t, sigma in zip(peer.timesteps, times, strict=False):
        scale = math.hypot(1, sigma)
        data = problems.denoised(x, 1 / scale, sigma / scale)
        x = peer.step(data[None, None], t, x[None, None]).prev_sample[0, 0].double()
    return problems.errors_of(x)


def main() -> None:
    """Print the table."""
    budgets = tuple(int(word) for word in sys.argv[1:]) or problems.BUDGETS
    print("Errors in per cent: mean density, pixel variance, P(k) at middle and small scales.\n")
    print(f"| sampler | {' | '.join(f'NFE {nfe}' for nfe in budgets)} |")
    print(f"| --- |{' --- |' * len(budgets)}")
    for name in OURS:
        cells = [problems.cell(SAMPLERS[name], PROCESS, "logsnr", nfe) for nfe in budgets]
        print(f"| {name} | {' | '.join(cells)} |")
    for order in (2, 3):
        print(f"| UniPC, order {order} | {' | '.join(unipc(nfe, order) for nfe in budgets)} |")


if __name__ == "__main__":
    main()
