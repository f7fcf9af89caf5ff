"""Training leaves torch's compiler out, whose import takes longer than a short run."""

import sys

import pytest
import torch

from focus_engine.training.optimisers import adam, adamw, muon, sgd, soap


@pytest.mark.parametrize("make", [muon, soap, adamw, adam, sgd])
def test_the_compiler_is_not_imported(monkeypatch, make):
    for method in vars(torch.optim.Optimizer).values():  # which keep what they imported at an earlier call
        monkeypatch.delattr(getattr(method, "__wrapped__", method), "__dynamo_disable", raising=False)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import raises
    network = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(3)])
    optimiser = make(network, lr=1e-3, weight_decay=0.0)
    before = network[1].weight.clone()
    for _ in range(2):  # SOAP only begins its averages at the first step
        network(torch.ones(2, 4)).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    assert not torch.equal(network[1].weight, before)
    assert network[1].weight.grad is None
    optimiser.load_state_dict(optimiser.state_dict())
    with pytest.raises(ImportError, match=r"torch\._dynamo"):  # as torch's own do
        torch.optim.SGD(network.parameters(), lr=1.0)
