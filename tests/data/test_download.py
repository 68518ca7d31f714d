"""Mirrors, tried in order on a server of this machine's loopback; no other network."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from discrete_vae.data import DataConfig, Shape, Sizes, idx, load, sources
from discrete_vae.data.download import cache_folder, fetch
from discrete_vae.data.known import KNOWN, Known
from discrete_vae.data.sources import SOURCES, Source, read
from discrete_vae.errors import InputError

NAME = "train-labels-idx1-ubyte"


class Handler(SimpleHTTPRequestHandler):
    """Serves files, keeps a list of what was asked for, and is silent."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(small: tuple[Source, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served at ``Handler.address``; "good" in it holds the files of the small source."""
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    root = tmp_path / "server"
    root.mkdir()
    shutil.copytree(small[1], root / "good")
    Handler.requests = []
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(Handler, "address", f"http://127.0.0.1:{served.server_port}", raising=False)
    yield root
    served.shutdown()
    served.server_close()
    thread.join()


def at(source: Source, *mirrors: str) -> Source:
    address = Handler.address  # type: ignore[attr-defined]
    return replace(source, mirrors=tuple(f"{address}/{mirror}/" for mirror in mirrors))


def test_the_first_good_mirror_is_enough(server: Path, small: tuple[Source, Path], tmp_path: Path) -> None:
    source = at(small[0], "good", "unused")
    fetch(source, tmp_path / "new" / "cache")
    assert read(source, tmp_path / "new" / "cache").pixels.shape == (40, 784)
    assert Handler.requests == [f"/good/{name}.gz" for name in source.sha256]
    assert sorted(path.name for path in (tmp_path / "new" / "cache").iterdir()) == sorted(
        f"{name}.gz" for name in source.sha256
    )


def test_mirrors_are_tried_in_order(server: Path, small: tuple[Source, Path], tmp_path: Path) -> None:
    shutil.copytree(server / "good", server / "wrong")
    for file in (server / "wrong").iterdir():
        file.write_bytes(b"<html>Moved</html>")
    source = at(small[0], "absent", "wrong", "good")
    fetch(source, tmp_path / "cache")
    assert Handler.requests[:3] == [f"/{mirror}/train-images-idx3-ubyte.gz" for mirror in ("absent", "wrong", "good")]
    assert len(read(source, tmp_path / "cache").labels) == 40


def test_other_gzip_bytes_of_the_same_content_are_right(
    server: Path, small: tuple[Source, Path], tmp_path: Path
) -> None:
    for file in (server / "good").iterdir():
        file.write_bytes(idx.read_content(file))  # as a server that decompresses on the way gives it
    fetch(at(small[0], "good"), tmp_path / "cache")
    assert len(read(small[0], tmp_path / "cache").labels) == 40


def test_what_is_there_is_not_fetched_again(server: Path, small: tuple[Source, Path], tmp_path: Path) -> None:
    source, cache = at(small[0], "good"), tmp_path / "cache"
    fetch(source, cache)
    Handler.requests.clear()
    (cache / f"{NAME}.gz").unlink()
    (cache / NAME).write_bytes(b"spoilt")
    fetch(source, cache)
    assert Handler.requests == [f"/good/{NAME}.gz"]
    assert not (cache / NAME).exists()
    assert len(read(source, cache).labels) == 40


def test_no_mirror_is_an_error_in_one_line_and_leaves_nothing(
    server: Path, small: tuple[Source, Path], tmp_path: Path
) -> None:
    shutil.copytree(server / "good", server / "cut")
    file = server / "cut" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    closed = replace(at(small[0], "absent", "cut"))
    source = replace(closed, mirrors=(*closed.mirrors, "http://127.0.0.1:9/"))
    with pytest.raises(InputError) as caught:
        fetch(source, tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith("small cannot be downloaded, no mirror has train-images-idx3-ubyte.gz: check the network")
    assert "absent/ (404 Client Error" in message
    assert "cut/ (train-images-idx3-ubyte.gz is a corrupt gzip file" in message
    assert "http://127.0.0.1:9/ (" in message
    assert "\n" not in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/cache cannot be written \(Not a directory\): make room"):
        fetch(SOURCES["mnist"], tmp_path / "file" / "cache")


def test_load_without_folder_names_both_remedies(empty_cache: Path) -> None:
    with pytest.raises(
        InputError, match=r"^mnist is not whole in the cache .*: name the folder .*\(folder\), or allow"
    ) as caught:
        load(DataConfig("mnist"))
    assert "\n" not in str(caught.value)
    assert not empty_cache.exists()


def test_load_tells_what_is_wrong_in_the_cache(empty_cache: Path) -> None:
    (empty_cache / "mnist").mkdir(parents=True)
    (empty_cache / "mnist" / "train-images-idx3-ubyte").write_bytes(b"spoilt")
    with pytest.raises(InputError, match=r"or allow to download them \(download\); .*mnist has no file train-labels"):
        load(DataConfig("mnist"))


def test_load_downloads_into_the_cache_and_reads_it_next_time(
    server: Path, small: tuple[Source, Path], empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sources.SOURCES, "mnist", at(small[0], "good"))
    monkeypatch.setitem(KNOWN, "mnist", Known(Sizes(20, 10, 10), Shape(28, 28)))
    first = load(DataConfig("mnist"), download=True)
    assert len(Handler.requests) == 4
    assert load(DataConfig("mnist")).train.pixels.equal(first.train.pixels)
    assert len(Handler.requests) == 4
    assert (empty_cache / "small").is_dir()


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    assert cache_folder(SOURCES["fashion-mnist"]) == tmp_path / "discrete-vae" / "fashion-mnist"
