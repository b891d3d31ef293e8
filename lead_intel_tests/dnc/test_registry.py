"""The registry index against plain sets, and every list that must be refused."""

import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lead_intel.dnc.registry import Registry, Slots, publish
from lead_intel.dnc.registry_files import list_files, numbers_of
from lead_intel.errors import LeadIntelError, RejectedInput, SetupError

TODAY = date(2026, 11, 24)

area_codes = st.sampled_from([201, 212, 415, 808, 999])
lines = st.one_of(st.integers(0, 9_999_999), st.sampled_from([0, 7, 8, 32_767, 32_768, 4_095, 9_999_999, 9_961_472]))
numbers = st.builds(lambda area_code, line: area_code * 10**7 + line, area_codes, lines)


def index_of(folder: Path, *files: Path) -> Registry:
    slots = Slots()
    for entry in list_files(files):
        for part in numbers_of(entry):
            slots.add(part)
    digest, _ = publish(slots, folder / "dnc", "test", "US", TODAY)
    return Registry(folder / "dnc" / digest)


def listed(folder: Path, text: bytes, name: str = "list.txt") -> set[int]:
    file = folder / name
    file.write_bytes(text)
    return {int(n) for part in numbers_of(list_files([file])[0]) for n in part}


def refusal(folder: Path, text: bytes, name: str = "list.txt") -> str:
    with pytest.raises(RejectedInput) as refused:
        listed(folder, text, name)
    assert "555" not in refused.value.message
    return refused.value.code


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(kept=st.sets(numbers, min_size=1, max_size=60), asked=st.lists(numbers, min_size=1, max_size=60))
def test_the_index_answers_as_a_set_does(tmp_path: Path, kept: set[int], asked: list[int]) -> None:
    slots = Slots()
    slots.add(np.array(list(kept), dtype=np.int64))
    digest, facts = publish(slots, tmp_path, "test", "US", TODAY)
    registry = Registry(tmp_path / digest)
    answers = registry.look_up(np.array([10**10 + number for number in asked], dtype=np.int64))
    covered = {number // 10**7 for number in kept}
    assert answers.listed.tolist() == [number in kept for number in asked]
    assert answers.covered.tolist() == [number // 10**7 in covered for number in asked]
    assert facts.numbers == len(kept)
    assert facts.area_codes == {code: sum(number // 10**7 == code for number in kept) for code in sorted(covered)}
    registry.verify()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    kept=st.lists(numbers, min_size=1, max_size=40),
    comma=st.booleans(),
    ending=st.sampled_from([b"\n", b"\r\n"]),
    last=st.booleans(),
    blank=st.booleans(),
    bom=st.booleans(),
    zipped=st.booleans(),
)
def test_every_documented_layout_reads_the_same(
    tmp_path: Path, kept: list[int], comma: bool, ending: bytes, last: bool, blank: bool, bom: bool, zipped: bool
) -> None:
    form = "{:03d},{:07d}" if comma else "{:03d}{:07d}"
    text = ending.join(form.format(*divmod(number, 10**7)).encode() for number in kept)
    text = (b"\xef\xbb\xbf" if bom else b"") + (ending if blank else b"") + text + (ending if last else b"")
    file = tmp_path / "list.txt"
    file.write_bytes(text)
    if zipped:
        with zipfile.ZipFile(tmp_path / "list.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(file, "inner/2026.txt")
        file = tmp_path / "list.zip"
    read = [int(number) for part in numbers_of(list_files([file])[0]) for number in part]
    assert read == kept


def test_numbers_outside_the_numbering_plan_are_not_covered(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("212,5550101\n")
    registry = index_of(tmp_path, tmp_path / "list.txt")
    answers = registry.look_up(np.array([442079460000, 2125550101, 10**14 + 12125550101, 7, 11125550101]))
    assert not answers.listed.any()
    assert not answers.covered.any()


def test_the_same_numbers_are_the_same_index_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("212,5550101\n415,5550102\n")
    (tmp_path / "b.txt").write_text("4155550102\n2125550101\n2125550101\n")
    assert index_of(tmp_path, tmp_path / "a.txt").path == index_of(tmp_path, tmp_path / "b.txt").path


def test_a_sparse_index_stays_small(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{code},5550{100 + code % 100}\n" for code in range(200, 1000)))
    registry = index_of(tmp_path, tmp_path / "list.txt")
    assert len(registry.facts.area_codes) == 800
    assert registry.path.stat().st_size < 5_000_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "dnc_list_empty"),
        (b"\n\n", "dnc_list_empty"),
        (b"212,5550101\n212,55501", "dnc_list_truncated"),
        (b"2125550101\n21255501", "dnc_list_truncated"),
        (b"212,5550101\n212,555010\n212,5550103\n", "dnc_list_malformed"),
        (b"212,5550101\n112,5550102\n", "dnc_list_malformed"),
        (b"212,5550101\n212;5550102\n", "dnc_list_malformed"),
        (b"212,5550101\n2125550102\n", "dnc_list_mixed"),
        (b"area,number\n212,5550101\n", "dnc_list_malformed"),
        (b"x" * 5000, "dnc_list_malformed"),
        (b"212,5550101\n" + b"\x00" * 12, "dnc_list_truncated"),
    ],
)
def test_a_list_that_cannot_be_read_whole_is_refused(tmp_path: Path, text: bytes, code: str) -> None:
    assert refusal(tmp_path, text) == code


def test_a_list_with_another_area_code_than_its_name_says_is_refused(tmp_path: Path) -> None:
    name = "2026-11-1_212_0001.txt"
    assert listed(tmp_path, b"212,5550101\n", name) == {2125550101}
    assert refusal(tmp_path, b"212,5550101\n415,5550101\n", name) == "dnc_list_mixed"


def test_lists_of_different_versions_are_refused_together(tmp_path: Path) -> None:
    names = [tmp_path / "2026-11-1_212_1.txt", tmp_path / "2026-10-1_415_1.txt"]
    for name in names:
        name.write_text("212,5550101\n")
    with pytest.raises(RejectedInput) as refused:
        list_files(names)
    assert refused.value.code == "dnc_list_mixed"


@pytest.mark.parametrize("keep", [20, 60, 100])
def test_a_damaged_archive_is_refused(tmp_path: Path, keep: int) -> None:
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("list.txt", "".join(f"212,555{n:04d}\n" for n in range(500)))
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * keep // 101])
    with pytest.raises(RejectedInput) as refused:
        [part for entry in list_files([cut]) for part in numbers_of(entry)]
    assert refused.value.code == "dnc_list_truncated"


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("212,5550101\n")
    registry = index_of(tmp_path, tmp_path / "list.txt")
    content = bytearray(registry.path.read_bytes())
    content[-1] ^= 1
    registry.path.write_bytes(content)
    with pytest.raises(LeadIntelError) as broken:
        Registry(registry.path).verify()
    assert broken.value.code == "dnc_index_damaged"


def test_a_cut_index_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("212,5550101\n")
    registry = index_of(tmp_path, tmp_path / "list.txt")
    registry.path.write_bytes(registry.path.read_bytes()[:-1])
    with pytest.raises(LeadIntelError) as broken:
        Registry(registry.path)
    assert broken.value.code == "dnc_index_damaged"


def test_a_missing_index_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as missing:
        Registry(tmp_path / "nothing")
    assert "dnc import" in missing.value.remedy
