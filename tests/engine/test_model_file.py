"""A model file is read back as it was written, or refused in one line: never trusted, never another exception."""

import io
import json
import os
import resource
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.errors import ModelError, ModelOutdatedError
from engine import model_file
from engine.model import AnomalyModel, train
from engine.model_card import content_digest
from engine.model_file import LARGEST_FILE_BYTES, ModelFile

NAMES = ("amount", "gap", "distance")
SEAL_BYTES = 64


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return train(
        np.random.default_rng(0).lognormal(size=(6_000, 3)),
        NAMES,
        seed=1,
        trained_at=datetime(2026, 3, 1, tzinfo=UTC),
        data_from=datetime(2026, 2, 1, tzinfo=UTC),
        data_to=datetime(2026, 2, 28, 12, 30, 1, 5, tzinfo=UTC),
        source="generator, Zürich",
        trees=8,
        samples_per_tree=32,
        calibration_share=0.9,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.npz"


@pytest.fixture(scope="module")
def saved(model: AnomalyModel, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    model.save(path)
    return path.read_bytes()


def assert_refused(path: Path, problem: str = "", names: tuple[str, ...] = NAMES) -> None:
    with pytest.raises(ModelError) as refusal:
        AnomalyModel.load_if_present(path, names)
    text = str(refusal.value)
    assert problem in text
    assert text.isprintable()
    assert str(path) in text
    assert "delete it and start again to train a new one, or set MODEL_PATH" in text


def sealed(body: bytes) -> bytes:
    """A whole archive with room for a seal, sealed as who can write the file could."""
    return body[:-SEAL_BYTES] + sha256(body[:-SEAL_BYTES]).hexdigest().encode()


def archive_of(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = bytes(SEAL_BYTES)
    return sealed(buffer.getvalue())


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def members_of(saved: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


@contextmanager
def at_most_allocated(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size


@contextmanager
def largest_writable_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_model_is_read_back_as_it_was_written(model: AnomalyModel, path: Path) -> None:
    model.save(path)
    loaded = AnomalyModel.load(path, NAMES)
    rows = np.random.default_rng(2).lognormal(size=(500, 3))

    assert loaded.card == model.card
    assert loaded.score(rows).raw.tobytes() == model.score(rows).raw.tobytes()
    assert loaded.score(rows).calibrated.tobytes() == model.score(rows).calibrated.tobytes()
    assert loaded.explain(rows).contributions.tobytes() == model.explain(rows).contributions.tobytes()
    assert loaded.explain(rows).base == model.explain(rows).base
    assert loaded.calibration.share.tobytes() == model.calibration.share.tobytes()


def test_a_model_that_was_read_is_written_as_the_same_bytes(saved: bytes, path: Path) -> None:
    path.write_bytes(saved)
    AnomalyModel.load(path, NAMES).save(path)

    assert path.read_bytes() == saved


def test_numpy_opens_the_file_without_pickle(saved: bytes, model: AnomalyModel, path: Path) -> None:
    path.write_bytes(saved)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["threshold"].tolist() == model.forest.threshold.tolist()
        assert json.loads(arrays["card"].tobytes())["content_sha256"] == model.card.content_sha256


def test_no_time_of_writing_is_in_the_file(saved: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_only_the_owner_can_read_the_file_whatever_the_umask(model: AnomalyModel, path: Path) -> None:
    before = os.umask(0)
    try:
        model.save(path)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600


def test_no_file_is_no_model(path: Path) -> None:
    assert AnomalyModel.load_if_present(path, NAMES) is None
    with pytest.raises(FileNotFoundError):
        AnomalyModel.load(path, NAMES)


def test_missing_folders_are_made(model: AnomalyModel, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "model.npz"
    model.save(path)

    assert AnomalyModel.load(path, NAMES).card == model.card


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(model: AnomalyModel, saved: bytes, path: Path) -> None:
    path.write_bytes(saved)

    with largest_writable_file(1_000), pytest.raises(ModelError, match=r"cannot be written \(File too large\)"):
        model.save(path)

    assert path.read_bytes() == saved
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_refused_and_left_alone(model: AnomalyModel, path: Path) -> None:
    path.mkdir()

    with pytest.raises(ModelError, match="cannot be written"):
        model.save(path)
    assert_refused(path)
    assert list(path.parent.iterdir()) == [path]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damaged_byte_is_found(saved: bytes, path: Path, data: st.DataObject) -> None:
    damaged = bytearray(saved)
    for at in data.draw(st.sets(st.integers(0, len(saved) - 1), min_size=1, max_size=4)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)

    assert_refused(path)


def test_a_damaged_bit_is_found_in_every_byte_that_describes_the_archive(saved: bytes, path: Path) -> None:
    directory = saved.index(b"PK\x01\x02")
    for at in (*range(200), *range(directory, len(saved))):
        path.write_bytes(saved[:at] + bytes([saved[at] ^ 1]) + saved[at + 1 :])
        assert_refused(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_or_lengthened_file_is_found(saved: bytes, path: Path, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(saved)))
    tail = data.draw(st.binary(min_size=1 if kept == len(saved) else 0, max_size=100))
    path.write_bytes(saved[:kept] + tail if saved[:kept] + tail != saved else b"")

    assert_refused(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_that_was_sealed_again_is_never_another_model(
    saved: bytes, model: AnomalyModel, path: Path, data: st.DataObject
) -> None:
    damaged = bytearray(saved)
    parts = ((0, 300), (saved.index(b"PK\x01\x02"), len(saved) - SEAL_BYTES - 1), (0, len(saved) - SEAL_BYTES - 1))
    for at in data.draw(st.sets(st.one_of(*(st.integers(*part) for part in parts)), min_size=1, max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    path.write_bytes(sealed(bytes(damaged)))

    try:
        loaded = AnomalyModel.load(path, NAMES)
    except ModelError:
        return
    assert loaded.card == model.card
    assert loaded.forest.threshold.tobytes() == model.forest.threshold.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"PK\x03\x04card.npy",
        b"not a model\n" * 1_000,
        b"SQLite format 3\x00" + bytes(4_096),
        b"\x80\x04\x95",
        archive_of([]),
        archive_of([("other.npy", npy(np.zeros(3)))]),
    ],
)
def test_any_other_file_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)

    assert_refused(path)


def test_arrays_saved_by_numpy_are_refused(path: Path) -> None:
    np.savez(path, card=np.zeros(4, dtype=np.uint8), feature=np.arange(5))

    assert_refused(path)


def test_pipes_devices_and_huge_files_are_refused_without_being_read(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    assert_refused(path, "not a regular file")
    assert_refused(Path("/dev/zero"), "not a regular file")

    huge = tmp_path / "huge.npz"
    with huge.open("wb") as stream:
        stream.truncate(LARGEST_FILE_BYTES + 1)
    assert_refused(huge, "larger than")


def test_a_path_below_a_file_is_refused(path: Path) -> None:
    path.write_bytes(b"")

    assert_refused(path / "model.npz", "Not a directory")


def test_a_path_with_control_characters_is_shown_in_one_printable_line(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31mb.npz"
    path.write_bytes(b"")

    with pytest.raises(ModelError) as refusal:
        AnomalyModel.load(path, NAMES)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((*NAMES, "hour"), "1 missing, 0 unknown, the first 'hour'"),
        (NAMES[:2], "0 missing, 1 unknown, the first 'distance'"),
        (NAMES[::-1], "in another order"),
        ((), "unknown"),
    ],
)
def test_a_model_of_other_features_is_refused(saved: bytes, path: Path, names: tuple[str, ...], problem: str) -> None:
    path.write_bytes(saved)

    assert_refused(path, problem, names)


def forge(
    saved: bytes,
    path: Path,
    arrays: Callable[[dict[str, NDArray[Any]]], object] = lambda _: None,
    card: Callable[[dict[str, Any]], object] = lambda _: None,
) -> None:
    """Write a changed model with all its digests made right again."""
    path.write_bytes(saved)
    contents = model_file.read(path)
    forged_arrays, forged_card = dict(contents.arrays), json.loads(contents.card)
    arrays(forged_arrays)
    card(forged_card)
    forged_card["content_sha256"] = content_digest(forged_card, forged_arrays)
    model_file.write(path, ModelFile(json.dumps(forged_card).encode(), forged_arrays))


def put(name: str, at: int, value: float) -> Callable[[dict[str, NDArray[Any]]], object]:
    def change(arrays: dict[str, NDArray[Any]]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][at] = value

    return change


def recast(name: str, dtype: str) -> Callable[[dict[str, NDArray[Any]]], object]:
    return lambda arrays: arrays.update({name: arrays[name].astype(dtype)})


def test_a_forgery_that_changes_nothing_is_accepted(saved: bytes, path: Path, model: AnomalyModel) -> None:
    forge(saved, path)

    assert AnomalyModel.load(path, NAMES).card == model.card


@pytest.mark.parametrize(
    "arrays",
    [
        put("left_child", 0, 2**31 - 1),
        put("left_child", 0, -5),
        put("left_child", 1, 0),
        put("left_child", 0, 0),
        put("roots", 1, 0),
        put("feature", 0, 3),
        put("threshold", 0, np.nan),
        put("expected", -1, 1e300),
        put("expected", 0, 0.0),
        put("calibration_raw", 2, 0.0),
        put("calibration_raw", 1, np.nan),
        put("calibration_score", -1, 2.0),
        put("usual", 0, np.inf),
        recast("left_child", "<i8"),
        recast("left_child", ">i4"),
        recast("threshold", "<f8"),
        recast("usual", "<f4"),
        recast("usual", "<U8"),
        put("reference_edges", 0, np.nan),
        put("reference_edges", 1, -1.0),
        put("reference_edges", 0, np.inf),
        put("reference_counts", 0, -1),
        put("reference_counts", 0, 2**62),
        recast("reference_counts", "<i4"),
        lambda arrays: arrays.update(reference_edges=arrays["reference_edges"][:-1]),
        lambda arrays: arrays.update(reference_edges=arrays["reference_edges"][:9]),
        lambda arrays: arrays.update(reference_counts=np.zeros_like(arrays["reference_counts"])),
        lambda arrays: arrays.pop("usual"),
        lambda arrays: arrays.update(extra=np.zeros(1)),
        lambda arrays: arrays.update(usual=arrays["usual"][:2]),
        lambda arrays: arrays.update(usual=arrays["usual"][np.newaxis]),
        lambda arrays: arrays.update(roots=arrays["roots"][:-1]),
        lambda arrays: arrays.update(threshold=arrays["threshold"][:-1]),
        lambda arrays: arrays.update({name: arrays[name][:0] for name in tuple(arrays)}),
    ],
)
def test_unsound_arrays_are_refused_even_with_right_digests(
    saved: bytes, path: Path, arrays: Callable[[dict[str, NDArray[Any]]], object]
) -> None:
    forge(saved, path, arrays=arrays)

    assert_refused(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format_version": 1}, "format version 1"),
        ({"format_version": 3}, "format version 3"),
        ({"format_version": None}, "format version None"),
        ({"format_version": "x\n" * 50}, "format version"),
        ({"trees": 7}, "not the one on the card"),
        ({"samples_per_tree": 8}, "not a sound model"),
        ({"samples_per_tree": 10**30}, "card that does not hang together"),
        ({"trained_at": "yesterday"}, "card that does not hang together"),
        ({"trained_at": "2026-03-01T00:00:00"}, "card that does not hang together"),
        ({"features": ["gap", "amount", "distance"]}, "card that does not hang together"),
        ({"data_to": "2020-01-01T00:00:00Z"}, "card that does not hang together"),
        ({"alert_shares": [{"score": 0.5, "stated": 0.1, "measured": -1}]}, "card that does not hang together"),
        ({"unknown": 1}, "card that does not hang together"),
    ],
)
def test_a_card_that_does_not_hang_together_is_refused(
    saved: bytes, path: Path, change: dict[str, Any], problem: str
) -> None:
    forge(saved, path, card=lambda card: card.update(change))

    assert_refused(path, problem)


@pytest.mark.parametrize(
    "card", [b"", b"[]", b"{}", b"null", b"\xff\xfe", b"{" * 100_000, b"[" * 100_000, b'{"format_version": NaN}']
)
def test_a_card_that_is_not_an_object_is_refused(saved: bytes, path: Path, card: bytes) -> None:
    path.write_bytes(saved)
    model_file.write(path, ModelFile(card, model_file.read(path).arrays))

    assert_refused(path)


def test_only_a_sound_file_of_an_earlier_format_is_said_to_be_outdated(saved: bytes, path: Path) -> None:
    for version, outdated in ((1, True), (3, False), (0, False), ("1", False), (True, False), (1.0, False)):
        forge(saved, path, card=lambda card, version=version: card.update(format_version=version))
        with pytest.raises(ModelError) as refusal:
            AnomalyModel.load(path, NAMES)
        assert isinstance(refusal.value, ModelOutdatedError) == outdated
    forge(saved, path, card=lambda card: card.update(format_version=1))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged"):
        AnomalyModel.load(path, NAMES)


def test_a_card_of_other_arrays_is_refused(saved: bytes, path: Path) -> None:
    path.write_bytes(saved)
    contents = model_file.read(path)
    arrays = dict(contents.arrays)
    put("expected", -1, 1.0)(arrays)
    model_file.write(path, ModelFile(contents.card, arrays))

    assert_refused(path, "do not match their digest")


def header(description: str) -> bytes:
    """The start of a ``.npy`` member of format 1.0, whatever it declares."""
    text = description.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "member",
    [
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000, 10000000), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (), }") + bytes(8),
        header("{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + bytes(8),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)"),
        header("__import__('os').abort()"),
        header("(" * 117),
        npy(np.array([{"a": 1}], dtype=object)),
        b"\x93NUMPY\x03\x00" + bytes(100),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"",
    ],
)
def test_a_member_that_declares_what_it_does_not_hold_is_refused(saved: bytes, path: Path, member: bytes) -> None:
    members = [(name, member if name == "usual.npy" else content) for name, content in members_of(saved)]
    path.write_bytes(archive_of(members))

    with at_most_allocated(2_000_000):
        assert_refused(path)


def test_more_bytes_than_the_array_holds_are_refused(saved: bytes, path: Path) -> None:
    path.write_bytes(
        archive_of([(name, content + b"\0" * (name == "usual.npy")) for name, content in members_of(saved)])
    )

    assert_refused(path)


def test_compressed_members_are_refused_without_being_unpacked(saved: bytes, path: Path) -> None:
    bomb = npy(np.zeros(200_000_000, dtype=np.uint8))
    path.write_bytes(archive_of([*members_of(saved), ("bomb.npy", bomb)], zipfile.ZIP_DEFLATED))
    del bomb

    with at_most_allocated(10_000_000):
        assert_refused(path)


def test_members_that_overlap_are_refused(saved: bytes, path: Path) -> None:
    directory = saved.index(b"PK\x01\x02")
    end = saved.index(b"PK\x05\x06")
    entries = saved[directory:end] * 50
    trailer = bytearray(saved[end:])
    count = (saved.count(b"PK\x01\x02") * 50).to_bytes(2, "little")
    trailer[8:12] = count + count
    trailer[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(sealed(saved[:directory] + entries + bytes(trailer)))

    assert_refused(path)


def test_a_member_that_stands_there_twice_is_refused(saved: bytes, path: Path) -> None:
    members = members_of(saved)
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(archive_of([*members, members[-1]]))

    assert_refused(path)
