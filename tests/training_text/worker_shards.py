"""One process of two that hold half of the weights each (FSDP 2). Started by torchrun; see test_text_processes."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

from shortlist.text.groupwise import GroupScores
from shortlist.training.card import CardFacts
from shortlist.training.parallel import Processes, leave
from shortlist.training.state import load_optimiser, optimiser_tensors
from shortlist.training.text.models import Serving, open_text_model, save_text_checkpoint
from shortlist.training.text.recipe import ModelRecipe

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def step(model, optimiser):
    model(input_ids=IDS, labels=IDS).loss.backward()
    optimiser.step()
    optimiser.zero_grad()


def equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-6)


def main(model: str, folder: str) -> None:
    torch.set_num_threads(1)
    processes = Processes.join()
    text = open_text_model(model, ModelRecipe())
    plain = copy.deepcopy(text)
    assert not plain.sharded
    before = plain.state()
    fully_shard(text.model, mesh=init_device_mesh("cpu", (processes.world,)))
    assert text.sharded
    equal(text.state(), before)
    mine, whole = (torch.optim.AdamW(one.model.parameters(), lr=1e-2) for one in (text, plain))
    for _ in range(2):
        step(text.model, mine)
        step(plain.model, whole)
    after, told = text.state(), optimiser_tensors(mine)
    equal(after, plain.state())
    equal(told, optimiser_tensors(whole))
    assert any((after[name] != before[name]).any() for name in before)

    card = CardFacts(title="t", method="sft", datasets=(), data="", recipe="", seeds=(0,), results=())
    serving = Serving(kind="groupwise", options={}, prompt=GroupScores())
    save_text_checkpoint(text, Path(folder) / "saved", serving, card, write=processes.first)
    torch.distributed.barrier()
    saved = AutoModelForCausalLM.from_pretrained(Path(folder) / "saved").state_dict()
    equal({name: saved[name] for name in after}, after)

    text.load_state(before)  # a state that a run goes on from, then the same steps again
    again = torch.optim.AdamW(text.model.parameters(), lr=1e-2)
    equal(text.state(), before)
    text.load_state(after)
    load_optimiser(again, told)
    step(text.model, again)
    step(plain.model, whole)
    equal(text.state(), plain.state())


if __name__ == "__main__":
    main(*sys.argv[1:])
    leave()
