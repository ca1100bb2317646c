"""The loop: resumed runs end in the same weights, and what breaks keeps the checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tirtrack.distillation import engine
from tirtrack.distillation.cross_modal import StepLoss
from tirtrack.distillation.engine import (
    CHECKPOINT,
    rate_at,
    read_checkpoint,
    train_steps,
)
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.settings import CrossModalRecipe, Training
from tirtrack.distillation.summary import LOG, read_log
from tirtrack.errors import RecipeError, RequestError, StorageError, TrainingError
from tirtrack.networks import registry

IDENTITY = {"recipe": "r", "seed": "0"}


def settings(**changes) -> Training:
    return Training(**{"steps": 6, "warm_up": 2, "checkpoint_every": 2, **changes})


def network_of(seed: int = 0):
    return registry.build("nanotrack-v3", tiny=True, seed=seed).eval()


def loss_for(network, *, fail_at: int | None = None, fault=None, asked: list | None = None):
    """A cheap loss whose data hang on the step alone."""

    def loss_of(step: int) -> StepLoss:
        if asked is not None:
            asked.append(step)
        if step == fail_at and isinstance(fault, BaseException):
            raise fault
        generator = torch.Generator().manual_seed(step)
        template = torch.rand(1, 2, 3, 127, 127, generator=generator)
        search = torch.rand(1, 2, 3, 255, 255, generator=generator)
        target = network.reference(template, torch.zeros(1, 2, 4))
        response = network.respond(target, search)
        total = response.scores[0].square().mean() + response.boxes.square().mean() * 1e-4
        if step == fail_at and fault == "nan":
            total = total * float("nan")
        return StepLoss(total, {"all": total.detach()}, [f"night/{step}#a", f"night/{step}#b"])

    return loss_of


def trained(network, loss_of, training, folder, *, identity=IDENTITY, resume=False, **validation):
    out, recipe = folder / "student.safetensors", CrossModalRecipe(training=training)
    run = Run(out, folder, recipe, identity, resume=resume)
    train_steps(network, loss_of, run, **validation)


def states_equal(a, b) -> bool:
    return all(torch.equal(x, b.state_dict()[key]) for key, x in a.state_dict().items())


def test_only_named_components_change(tmp_path):
    network, before = network_of(), network_of()
    training = settings(components={"box_estimator": 1.0}, steps=2)
    trained(network, loss_for(network), training, tmp_path)
    changed = {
        key for key, value in network.state_dict().items()
        if not torch.equal(value, before.state_dict()[key])
    }  # fmt: skip
    assert changed
    box_side = [f"ban_head.{name}" for name in network.ban_head.BOX_SIDE]
    assert all(key.startswith(tuple(box_side)) for key in changed)


def test_a_run_in_two_parts_ends_in_the_same_weights(tmp_path):
    whole, split = network_of(), network_of()
    trained(whole, loss_for(whole), settings(), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(
            split,
            loss_for(split, fail_at=3, fault=KeyboardInterrupt()),
            settings(),
            tmp_path / "b",
        )
    assert read_checkpoint(tmp_path / "b" / CHECKPOINT)["step"] == 3
    resumed = network_of(seed=9)  # its weights come from the checkpoint
    asked = []
    trained(
        resumed,
        loss_for(resumed, asked=asked),
        settings(),
        tmp_path / "b",
        resume=True,
    )
    assert asked == [3, 4, 5]
    assert states_equal(whole, resumed)
    logs = [read_log(tmp_path / name) for name in "ab"]
    assert [line.step for line in logs[1]] == [1, 2, 3, 4, 5, 6]
    assert [line.loss for line in logs[0]] == [line.loss for line in logs[1]]


def test_averaged_weights_lie_between_start_and_trained_ones(tmp_path):
    start, plain, averaged = network_of(), network_of(), network_of()
    trained(plain, loss_for(plain), settings(), tmp_path / "a")
    trained(averaged, loss_for(averaged), settings(average=0.25), tmp_path / "b")
    for name, value in averaged.state_dict().items():
        ends = [one.state_dict()[name].double() for one in (start, plain)]
        torch.testing.assert_close(
            value.double(), 0.25 * ends[0] + 0.75 * ends[1], atol=1e-6, rtol=0
        )
    assert not states_equal(averaged, plain)


def test_a_resumed_run_averages_with_its_start_weights_once(tmp_path):
    whole, split = network_of(), network_of()
    trained(whole, loss_for(whole), settings(average=0.5), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(
            split,
            loss_for(split, fail_at=3, fault=KeyboardInterrupt()),
            settings(average=0.5),
            tmp_path / "b",
        )
    for _ in range(2):
        resumed = network_of()
        trained(resumed, loss_for(resumed), settings(average=0.5), tmp_path / "b", resume=True)
        assert states_equal(whole, resumed)


def test_a_stop_in_a_validation_loses_nothing_and_it_is_done_again(tmp_path):
    whole, split = network_of(), network_of()
    asked = []

    def validating(network, *, fails):
        def numbers():
            asked.append(1)
            if fails and len(asked) == 2:
                raise KeyboardInterrupt
            assert not any(module.training for module in network.modules())
            return {"size": float(sum(p.detach().double().sum() for p in network.parameters()))}

        return numbers

    trained(
        whole,
        loss_for(whole),
        settings(batch_norm="train"),
        tmp_path / "a",
        validate=validating(whole, fails=False),
        validate_every=2,
    )
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        trained(
            split,
            loss_for(split),
            settings(batch_norm="train"),
            tmp_path / "b",
            validate=validating(split, fails=True),
            validate_every=2,
        )
    assert read_checkpoint(tmp_path / "b" / CHECKPOINT)["step"] == 2
    resumed = network_of(seed=9)
    trained(
        resumed,
        loss_for(resumed),
        settings(batch_norm="train"),
        tmp_path / "b",
        validate=validating(resumed, fails=False),
        validate_every=2,
        resume=True,
    )
    assert states_equal(whole, resumed)
    logs = [[(line.step, line.held_back) for line in read_log(tmp_path / name)] for name in "ab"]
    assert [step for step, seen in logs[0] if seen] == [1, 3, 5]
    assert logs[0] == logs[1]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import tiny_world
from tirtrack.distillation import train_student
real, count = train_student.plan_step, [0]
def plan(*args, **kwargs):
    if kwargs["step"] == 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
train_student.plan_step = plan
recipe = tiny_world.recipe_of("mixed", training__steps=40, training__checkpoint_every=20)
tiny_world.run_tiny(recipe, Path({folder!r}))
"""


def test_forty_steps_equal_twenty_a_kill_and_twenty_more(tiny, tmp_path):
    recipe = tiny.recipe_of("mixed", training__steps=40, training__checkpoint_every=20)
    whole, _ = tiny.run_tiny(recipe, tmp_path / "whole")
    code = KILLED.format(here=str(Path(__file__).parent), folder=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert read_checkpoint(tmp_path / "killed" / CHECKPOINT)["step"] == 20
    assert len(read_log(tmp_path / "killed")) == 25
    resumed, _ = tiny.run_tiny(recipe, tmp_path / "killed", resume=True)
    assert states_equal(whole, resumed)
    assert [line.step for line in read_log(tmp_path / "killed")] == list(range(1, 41))


def test_a_loss_that_is_not_finite_stops_with_the_samples(tmp_path):
    network = network_of()
    with pytest.raises(TrainingError) as caught:
        trained(
            network,
            loss_for(network, fail_at=3, fault="nan"),
            settings(),
            tmp_path,
        )
    assert "the loss of step 4 is not finite; its samples are night/3#a, night/3#b" in str(
        caught.value
    )
    assert read_checkpoint(tmp_path / CHECKPOINT)["step"] == 3
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    network = network_of()
    usual = loss_for(network)

    def loss_of(step: int) -> StepLoss:
        found = usual(step)
        weight = network.components()["box_estimator"][0]
        return StepLoss(found.total + (weight * 0).abs().sqrt().sum(), found.parts, found.keys)

    with pytest.raises(TrainingError, match="the gradient of step 1 is not finite"):
        trained(network, loss_of, settings(), tmp_path)


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    network = network_of()
    real, calls = engine.write_bytes, []

    def full(path, content):
        calls.append(path)
        if len(calls) == 2:
            raise StorageError("could not be written (No space left on device)", path)
        real(path, content)

    monkeypatch.setattr(engine, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        trained(network, loss_for(network), settings(), tmp_path)
    assert read_checkpoint(tmp_path / CHECKPOINT)["step"] == 2
    monkeypatch.setattr(engine, "write_bytes", real)
    resumed, whole = network_of(), network_of()
    trained(resumed, loss_for(resumed), settings(), tmp_path, resume=True)
    trained(whole, loss_for(whole), settings(), tmp_path / "w")
    assert states_equal(whole, resumed)


def test_an_interrupt_in_the_middle_of_an_update_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    network, real = network_of(), torch.optim.AdamW.step
    calls = []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            with torch.no_grad():
                self.param_groups[0]["params"][0].add_(1.0)  # half an update
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(network, loss_for(network), settings(), tmp_path)
    assert read_checkpoint(tmp_path / CHECKPOINT)["step"] == 2


def test_a_checkpoint_of_another_run_is_not_continued(tmp_path):
    network = network_of()
    trained(network, loss_for(network), settings(steps=2), tmp_path)
    with pytest.raises(RequestError, match=r"made with another seed \(was 0, now 1\)"):
        trained(
            network,
            loss_for(network),
            settings(),
            tmp_path,
            identity={**IDENTITY, "seed": "1"},
            resume=True,
        )
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(RequestError, match="is no checkpoint of tirtrack"):
        trained(network, loss_for(network), settings(), tmp_path, resume=True)


def test_a_pickle_in_a_checkpoint_is_refused(tmp_path):
    class Bad:
        def __reduce__(self):
            return (exec, ("raise SystemExit(3)",))

    torch.save({"format": 1, "x": Bad()}, tmp_path / CHECKPOINT)
    with pytest.raises(RequestError, match="is no checkpoint"):
        read_checkpoint(tmp_path / CHECKPOINT)


def test_a_component_that_the_network_lacks_is_a_recipe_error(tmp_path):
    network = network_of()
    with pytest.raises(RecipeError, match='no component "adapter'):
        trained(
            network,
            loss_for(network),
            settings(components={"adapters": 1.0}),
            tmp_path,
        )


def test_the_rate_warms_up_and_falls_to_nothing():
    training = settings(steps=200, warm_up=20, rate=1e-4)
    rates = [rate_at(step, training) for step in range(200)]
    assert rates[0] == pytest.approx(5e-6)
    assert rates[19] == rates[20] == pytest.approx(1e-4)
    assert rates[110] == pytest.approx(0.5e-4)
    assert rates[199] < 1e-8
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_components_learn_at_their_part_of_the_rate(tmp_path):
    def change(share: float) -> float:
        network, before = network_of(), network_of()
        training = settings(steps=1, warm_up=0, components={"box_estimator": share}, rate=1e-3)
        trained(network, loss_for(network), training, tmp_path / f"{share}")
        pairs = zip(network.parameters(), before.parameters(), strict=True)
        return max(float((a - b).detach().abs().max()) for a, b in pairs)

    assert change(0.5) == pytest.approx(change(1.0) / 2, rel=0.05)


@pytest.mark.parametrize(("policy", "moves"), [("frozen", False), ("train", True)])
def test_batch_norm_statistics_move_only_where_the_recipe_says_so(tmp_path, policy, moves):
    network, before = network_of(), network_of()
    training = settings(steps=2, batch_norm=policy, components={"box_estimator": 1.0})
    trained(network, loss_for(network), training, tmp_path)
    moved = {
        key
        for key, value in network.state_dict().items()
        if "running_mean" in key and not torch.equal(value, before.state_dict()[key])
    }
    assert bool(moved) is moves
    assert not any(key.startswith("backbone") for key in moved)
    assert not network.training


def test_every_line_of_the_log_names_terms_rate_and_gradient(tmp_path):
    network = network_of()
    trained(network, loss_for(network), settings(steps=2), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {*lines[0]} == {"step", "loss", "terms", "rate", "gradient_norm", "seconds"}
    assert lines[1]["terms"]["all"] == lines[1]["loss"]


def test_training_leaves_global_state_alone(tmp_path):
    before = (torch.get_rng_state().clone(), torch.get_num_threads(), torch.is_grad_enabled())
    network = network_of()
    trained(network, loss_for(network), settings(steps=2), tmp_path)
    after = (torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled())
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
