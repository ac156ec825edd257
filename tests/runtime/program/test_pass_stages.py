"""Stages of a pass: data arrive before they are read."""

import pytest
from phiz.runtime.backend import Request, calls
from phiz.runtime.network.architectures import NAMED
from phiz.runtime.network.network import Network
from phiz.runtime.program.pass_stages import pass_stages
from phiz.runtime.program.program import Program

NAMES = ("lenet-digits", "lenet-digits-small")


def program(name: str) -> Program:
    return Network(NAMED[name].build(10, True), (1, 8, 8), "ce", backend="numpy").program


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gradients", ["none", "sum", "sample"])
def test_every_value_is_there_before_it_is_read(name: str, gradients: str) -> None:
    steps = calls(program(name), Request(losses=True, gradients=gradients, input_gradient=True))  # type: ignore[arg-type]
    found = pass_stages(steps)
    assert sorted(map(id, (step for stage in found for step in stage.steps))) == sorted(map(id, steps))
    written = {key for step in steps for key in step.use.writes}
    done: set[str] = set()
    for stage in found:
        assert all((not step.writes.samples) == (stage.kind == "sums") for step in stage.steps)
        for step in stage.steps:
            assert not (set(step.use.reads) & written) - done, step.kernel.name
            if stage.kind == "samples":
                done |= set(step.use.writes)
        done |= {key for step in stage.steps for key in step.use.writes}
    kinds = [stage.kind for stage in found]
    assert kinds == (["samples", "sums"] if gradients == "sum" else ["samples"])


def test_an_empty_pass_has_no_phase() -> None:
    assert pass_stages([]) == []
