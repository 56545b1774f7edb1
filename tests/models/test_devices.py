import pytest
import torch

from boxloop.errors import ParamsError
from boxloop.models.devices import pick, precision, reproducible

CUDA = torch.cuda.is_available()


def test_cpu_is_always_there():
    assert pick("cpu") == torch.device("cpu")


def test_auto_takes_what_there_is():
    assert pick("auto").type == ("cuda" if CUDA else "cpu")


@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
def test_cuda_is_the_first_one():
    assert pick("cuda") == pick("cuda:0") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["cuda:99"] if CUDA else ["cuda", "cuda:0", "cuda:99"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ParamsError, match=rf"'{name}' is not available.*'auto' or 'cpu'"):
        pick(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is an Apple computer")
def test_apples_gpu_that_is_not_there():
    with pytest.raises(ParamsError, match=r"'mps' is not available.*Apple.*'auto' or 'cpu'"):
        pick("mps")


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs an Apple computer")
def test_apples_gpu():
    device = pick("mps")
    assert precision(device) is None
    before = torch.rand(1, device=device)
    with reproducible(3, device):
        one = torch.rand(2, device=device)
    with reproducible(3, device):
        assert torch.equal(torch.rand(2, device=device), one)
    assert before.device.type == "mps"


def test_half_precision_is_for_cuda_devices():
    assert precision(torch.device("cpu")) is None
    assert precision(torch.device("mps")) is None


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "cuda:", "cuda:-1", "cuda:x", "mps:0", "cpu:0"])
def test_names_that_are_no_devices(name):
    with pytest.raises(ParamsError, match="auto, cpu, cuda, cuda:<index> or mps"):
        pick(name)
