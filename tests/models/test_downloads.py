"""Weights from the Hugging Face Hub and from plain addresses, both served by this machine."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save

from boxloop.errors import WeightsError
from boxloop.models import backbones, weights

NETWORK, TAG = "test_resnet", "r160_in1k"


def point(monkeypatch, url):
    """Take this address for the Hub, as HF_ENDPOINT does where a program starts."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@contextmanager
def hub(files):
    """A Hub with one repository, which holds these files (bytes by name)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f"{self.command} {self.path}")
            if self.path.startswith(f"/api/models/timm/{NETWORK}.{TAG}"):
                siblings = [{"rfilename": name} for name in files]
                body = json.dumps({"id": f"timm/{NETWORK}.{TAG}", "siblings": siblings}).encode()
            else:
                body = files[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"0123456789"')
            self.send_header("X-Repo-Commit", "a" * 40)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """Nothing is cached, and nobody listens where the Hub is."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    point(monkeypatch, "http://127.0.0.1:9")


def state():
    torch.manual_seed(6)
    return timm.create_model(NETWORK).state_dict()


@pytest.mark.parametrize("chosen", [TAG, "DEFAULT"])
def test_weights_by_name_come_from_the_hub_and_then_from_its_cache(monkeypatch, chosen):
    source = {name: tensor.contiguous() for name, tensor in state().items()}
    with hub({"config.json": b"{}", "model.safetensors": save(source)}) as (url, asked):
        point(monkeypatch, url)
        start = backbones.start(NETWORK, chosen, section="features")
        assert start.tensors.keys() == source.keys()
        assert all(torch.equal(start.tensors[name], source[name]) for name in source)
        assert start.mean == (0.5, 0.5, 0.5)
        before = len(asked)
        again = backbones.start(NETWORK, chosen, section="features")
        assert again.tensors.keys() == source.keys()
        assert len(asked) == before


def test_without_a_network_one_sentence_names_the_ways_out_at_once():
    begin = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        backbones.start(NETWORK, TAG, section="features")
    assert time.perf_counter() - begin < 20  # the Hub's own client takes 23 seconds
    text = str(caught.value)
    assert text.startswith(f"weights: {NETWORK} {TAG} could not be downloaded")
    for part in ("refused", "local file", f"timm/{NETWORK}.{TAG}", "in1k", "'weights: none'"):
        assert part in text
    assert "\n" not in text


def test_the_older_file_of_a_repository_is_read_without_executing_it(monkeypatch, tmp_path):
    torch.save(state(), tmp_path / "pytorch_model.bin")
    with hub({"pytorch_model.bin": (tmp_path / "pytorch_model.bin").read_bytes()}) as (url, _):
        point(monkeypatch, url)
        assert weights.download_from_hub("x", f"timm/{NETWORK}.{TAG}").keys() == state().keys()
    with hub({"pytorch_model.bin": b"cos\nsystem\n(S'false'\ntR."}) as (url, _):
        point(monkeypatch, url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "other"))
        with pytest.raises(WeightsError, match=r"pytorch_model\.bin cannot be used"):
            weights.download_from_hub("x", f"timm/{NETWORK}.{TAG}")


@pytest.mark.parametrize(
    "name", ["dinov2_vits14_pretrain", "IN1K-vit.h.14-300e", "resnet-00bad123"]
)
def test_an_address_may_end_in_a_digest_or_not(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "there").mkdir()
    file = tmp_path / "there" / f"{name}.pth"
    torch.save(state(), file)
    if name.startswith("resnet"):
        with pytest.raises(WeightsError, match="invalid hash value"):
            weights.download(name, file.as_uri())
    else:
        assert weights.download(name, file.as_uri()).keys() == state().keys()
