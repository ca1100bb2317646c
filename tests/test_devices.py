"""Devices by name."""

from __future__ import annotations

import pytest
import torch

import tirtrack
from tirtrack.devices import checked_device
from tirtrack.errors import RecipeError, RequestError
from tirtrack.trackers.loading import engine_of


def test_the_processor_is_always_there():
    assert checked_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpu", 'there is no device "gpu"; choose cpu or cuda'),
        ("meta", 'device "meta" is not supported; choose cpu or cuda'),
        ("cpu:7", 'there is no device "cpu:7", the last one is cpu:0'),
    ],
)
def test_a_device_that_is_not_there_is_said(name, said):
    with pytest.raises(RequestError) as caught:
        checked_device(name)
    assert said in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is said where there is no CUDA")
def test_cuda_that_torch_does_not_find_is_said():
    with pytest.raises(RequestError, match="torch finds no CUDA here; choose cpu"):
        tirtrack.load("nano-tir", engine="torch", device="cuda")


def test_the_fast_engine_runs_on_the_processor_alone():
    with pytest.raises(RequestError, match="runs on the CPU, not on cuda; choose the engine torch"):
        tirtrack.load("nano-tir", engine="onnx", device="cuda")


def test_each_family_names_the_engine_that_runs_it():
    assert engine_of("nanotrack-v3") == "onnx"
    assert engine_of("nanotrack-v3", device="cuda") == "torch"
    assert engine_of("dimp18") == "torch"
    assert engine_of("dimp18", "onnx") == "onnx"
    assert engine_of("atom18", "openvino") == "openvino"
    with pytest.raises(
        RecipeError, match="onnx does not run a joint-lite; choose the engine torch"
    ):
        engine_of("joint-lite", "onnx")
