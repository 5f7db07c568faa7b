"""The pinned lists say what pyproject.toml asks for, and nothing of the machine they were made on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
BUILD = PYPROJECT["build-system"]["requires"]

ASKED = {
    "runtime.txt": PROJECT["dependencies"],
    "build.txt": BUILD,
    "fuzz.txt": [*PROJECT["dependencies"], *EXTRAS["fuzz"]],
    "mutants.txt": [*PROJECT["dependencies"], *EXTRAS["mutants"]],
    "test.txt": [*PROJECT["dependencies"], *EXTRAS["demo"], *EXTRAS["test"], *BUILD],
}


def pins(file: str) -> dict[str, str]:
    """Give the version of each package in a pinned list."""
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", text)}


@pytest.mark.parametrize("file", ASKED)
def test_what_is_asked_for_is_pinned(file: str) -> None:
    """Each requirement has a pin that satisfies it; else `make lock` was forgotten."""
    pinned = pins(file)
    for requirement in map(Requirement, ASKED[file]):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("file", ["test.txt", "fuzz.txt", "mutants.txt"])
def test_the_tests_run_what_is_shipped(file: str) -> None:
    """A package that is shipped has the same version where it is tested."""
    assert pins("runtime.txt").items() <= pins(file).items()


@pytest.mark.parametrize("file", ASKED)
def test_a_pinned_list_holds_versions_and_hashes_only(file: str) -> None:
    """Where packages come from is the machine's to say: no index, no option, no path."""
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    assert not re.search(r"://|--(?!hash)|file:|(?m:^/)", text)


@pytest.mark.parametrize(
    "block", [PROJECT["dependencies"], EXTRAS["demo"], EXTRAS["fuzz"], EXTRAS["mutants"], EXTRAS["test"]]
)
def test_every_dependency_has_its_reason_beside_it(block: list[str]) -> None:
    """In pyproject.toml a dependency stands on a line of its own, and says what it is for."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in block:
        assert re.search(rf'(?m)^    "{re.escape(requirement)}", *# \S', text), requirement
