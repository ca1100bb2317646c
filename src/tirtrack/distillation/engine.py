"""The training loop: steps, rates, checkpoints, the log; the same for every kind of training.

A step is a pure function of its number: the caller's ``loss_of(step)`` draws from random streams
seeded by the number. So a checkpoint holds only weights, optimiser and step, and a killed run
resumes to the same weights, bit for bit. Nothing global is touched: no seed, no thread count, no
signal handler.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tirtrack.distillation.cross_modal import StepLoss
from tirtrack.distillation.run_folder import CHECKPOINT, AnyRecipe, Run
from tirtrack.distillation.settings import Training
from tirtrack.distillation.summary import LOG, LogLine
from tirtrack.errors import RecipeError, RequestError, StorageError, TrainingError, did_you_mean
from tirtrack.files import write_bytes, write_text
from tirtrack.identity import BEGIN_ANEW, first_change
from tirtrack.networks.two_branch import TwoBranchNetwork

_FORMAT = 1


def rate_at(step: int, settings: Training) -> float:
    """Learning rate of a step (0-based): linear warm-up, then cosine to 0 or down by steps."""
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    if settings.schedule == "step":
        return settings.rate * settings.decay ** (step // settings.decay_every)
    rest = max(settings.steps - settings.warm_up, 1)
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (step - settings.warm_up) / rest))


def train_steps(
    network: TwoBranchNetwork,
    loss_of: Callable[[int], StepLoss],
    run: Run[AnyRecipe],
    *,
    validate: Callable[[], Mapping[str, float]] | None = None,
    validate_every: int = 0,
) -> None:
    """Train a network in place, from its weights or, to resume, from the run's checkpoint. At the
    end its weights are averaged with those that it came with, if the settings say so.

    Args:
        network: network to train, with its start weights; only the components that the recipe
            names change.
        loss_of: function that gives the loss of a step by its number.
        run: run with the training settings, and the folder of log and checkpoint.
        validate: function that gives further numbers for the log and changes nothing; the network
            is in eval mode meanwhile.
        validate_every: number of steps from one call to the next, the first one before the first
            step; 0: none.

    Raises:
        RecipeError: the network lacks a component.
        RequestError: the checkpoint belongs to another run.
        TrainingError: a loss or gradient is not finite; names the samples.
        StorageError: the checkpoint or the log could not be written; the older one is intact.
        KeyboardInterrupt: raised again after the checkpoint was written.
    """
    settings = run.recipe.training
    start = {name: value.clone() for name, value in network.state_dict().items()}
    loop = _Loop(network, run, validate, validate_every)
    first = loop.begin(resume=run.resume)
    try:
        for step in range(first, settings.steps):
            loss = loop.advance(step, loss_of)
            run.progress("training", step + 1, settings.steps, f"loss {loss:.3f}")
            if (step + 1) % settings.checkpoint_every == 0 and step + 1 < settings.steps:
                loop.save()
    except (KeyboardInterrupt, TrainingError):
        loop.save()
        raise
    if first < settings.steps:
        loop.save()
    average_weights(network, start, settings.average)
    network.eval()


def average_weights(network: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Average the weights of a network with start weights, in place; whole numbers, such as counts
    of batches, stay.

    Args:
        network: network to change.
        start: tensors of the start weights by name.
        share: share of the start weights.
    """
    if not share:
        return
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(start[name], share)


class _Loop:
    """State of a run: network, optimiser, the number of steps done, the open log."""

    def __init__(
        self,
        network: TwoBranchNetwork,
        run: Run[AnyRecipe],
        validate: Callable[[], Mapping[str, float]] | None,
        validate_every: int,
    ) -> None:
        self._validate, self._validate_every = validate, validate_every
        self._network = network
        self._settings = run.recipe.training
        self._folder = run.folder
        self._identity = dict(run.identity)
        self._groups = trained_groups(network, self._settings)
        self._optimiser = _optimiser(self._groups, self._settings)
        self._done = 0
        self._is_whole = True  # weights and optimiser are both in the state after step `_done`

    def begin(self, *, resume: bool) -> int:
        """The first step to run; reads the checkpoint and cuts the log to its steps."""
        self._folder.mkdir(parents=True, exist_ok=True)
        set_batch_norm(self._network, self._settings)
        path = self._folder / CHECKPOINT
        if resume and path.is_file():
            self._load(path)
        _cut_log(self._folder / LOG, self._done)
        return self._done

    def advance(self, step: int, loss_of: Callable[[int], StepLoss]) -> float:
        """One step: validation if due, loss, gradients, update, a line in the log."""
        held_back = self._validated_before(step)
        began = time.perf_counter()
        rate = rate_at(step, self._settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate_share"]
        # Batch norm that learns changes its statistics already in the forward pass.
        self._is_whole = self._settings.batch_norm in ("frozen", "re_estimate")
        found = loss_of(step)
        _check_finite(found.total, step, found, "loss")
        self._optimiser.zero_grad(set_to_none=True)
        if found.total.requires_grad:
            found.total.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self._groups for p in group["params"]]
        limit = math.inf if self._settings.clip_norm is None else self._settings.clip_norm
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        _check_finite(norm, step, found, "gradient")
        self._is_whole = False
        self._optimiser.step()
        loss = float(found.total.detach())
        line = LogLine(
            step=step + 1,
            loss=loss,
            terms={name: float(value) for name, value in found.parts.items()},
            rate=rate,
            gradient_norm=float(norm),
            seconds=round(time.perf_counter() - began, 4),
            held_back=held_back or None,
        )
        _append(self._folder / LOG, line)
        self._done = step + 1
        self._is_whole = True
        return loss

    def _validated_before(self, step: int) -> Mapping[str, float]:
        if self._validate is None or not self._validate_every or step % self._validate_every:
            return {}
        self._network.eval()
        numbers = self._validate()
        set_batch_norm(self._network, self._settings)
        return numbers

    def save(self) -> None:
        """Write the checkpoint, unless an update is half done (then the older checkpoint stays)."""
        if not self._is_whole:
            return
        content = {
            "format": _FORMAT,
            "identity": self._identity,
            "step": self._done,
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(self._folder / CHECKPOINT, buffer.getvalue())

    def _load(self, path: Path) -> None:
        content = read_checkpoint(path)
        if change := first_change(content["identity"], self._identity):
            raise RequestError(f"the checkpoint was made with another {change}", path, BEGIN_ANEW)
        self._network.load_state_dict(content["network"])
        self._optimiser.load_state_dict(content["optimiser"])
        self._done = int(content["step"])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; no code in it is run.

    Raises:
        RequestError: the file cannot be read as a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != _FORMAT:
            raise KeyError(f"format {content['format']}")
    except Exception as error:
        raise RequestError(
            f"is no checkpoint of tirtrack ({type(error).__name__})", path, "begin with --force"
        ) from error
    return content  # type: ignore[no-any-return]


# --- trained components --------------------------------------------------------------------------


def check_components(network: TwoBranchNetwork, settings: Training) -> None:
    """Refuse a component that the network does not have.

    Raises:
        RecipeError: no component has this name; the message names the nearest one.
    """
    parts = network.component_names()
    known = list(dict.fromkeys(name for part in parts for name in (part.split(".")[0], part)))
    for name in settings.components:
        if name not in known:
            raise RecipeError(
                f'this network has no component "{name}"',
                "training.components",
                did_you_mean(name, known),
            )


def trained_parts(network: TwoBranchNetwork, settings: Training) -> dict[str, float]:
    """The components to train, with their factors of the learning rate. If both a component and a
    part of it are named, the part's factor applies to the part.
    """
    check_components(network, settings)
    shares = {}
    for part in network.component_names():
        for name in (part.split(".")[0], part):
            if name in settings.components:
                shares[part] = settings.components[name]
    return shares


def trained_groups(network: TwoBranchNetwork, settings: Training) -> list[dict[str, Any]]:
    """Parameter groups of the trained components; all other parameters are frozen."""
    parts = trained_parts(network, settings)
    network.requires_grad_(requires_grad=False)
    components = network.components()
    groups = []
    for name, share in sorted(parts.items()):
        for parameter in components[name]:
            parameter.requires_grad = True
        groups.append({"params": components[name], "rate_share": share, "lr": 0.0})
    if settings.keep_published_frozen:
        for module in network.published_frozen():
            for parameter in module.parameters():
                parameter.requires_grad = False
    return groups


def set_batch_norm(network: TwoBranchNetwork, settings: Training) -> None:
    """Eval mode everywhere, except batch norm of trained components if the recipe trains it."""
    network.eval()
    if settings.batch_norm in ("train", "adapt"):
        for name in trained_parts(network, settings):
            for module in network.modules_of(name):
                for norm in batch_norms(module):
                    norm.train()
    if settings.keep_published_frozen:
        for module in network.published_frozen():
            module.eval()


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms in a module."""
    return [inner for inner in module.modules() if isinstance(inner, nn.BatchNorm2d)]


def backbone_norms(network: TwoBranchNetwork) -> list[nn.BatchNorm2d]:
    """The batch norms of the backbone, in order."""
    return [norm for part in network.modules_of("backbone") for norm in batch_norms(part)]


def _optimiser(groups: list[dict[str, Any]], settings: Training) -> torch.optim.Optimizer:
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=0.0, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, lr=0.0, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=settings.weight_decay)


def _check_finite(value: Tensor, step: int, found: StepLoss, what: str) -> None:
    if not bool(torch.isfinite(value.detach()).all()):
        raise TrainingError(
            f"the {what} of step {step + 1} is not finite; its samples are {', '.join(found.keys)}",
            fix="look at these samples, or lower training.rate; the checkpoint before it is kept",
        )


# --- the log -------------------------------------------------------------------------------------


def _append(path: Path, line: LogLine) -> None:
    try:
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line.model_dump(exclude_none=True)) + "\n")
    except OSError as error:
        raise StorageError(
            f"could not be written ({error.strerror})", path, "free some space and resume"
        ) from error


def _cut_log(path: Path, steps: int) -> None:
    """Keep only the lines of the steps up to the checkpoint."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()[:steps]
    write_text(path, "".join(line + "\n" for line in lines))
