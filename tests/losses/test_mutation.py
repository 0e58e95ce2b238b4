"""The proofs that the catalog names do prove: no mutant of any loss survives them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each collects the tests of all losses anew

ROOT = Path(__file__).resolve().parents[2]


def mutate(*arguments):
    command = [sys.executable, "tests/mutation.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)


def test_no_loss_survives_a_flipped_sign_or_a_factor_of_two():
    result = mutate()
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    mutants, losses = map(int, re.search(r"(\d+) mutants of (\d+) losses, 0 survived", result.stdout).groups())
    assert mutants >= 2 * losses > 0


def test_one_loss_can_be_mutated_alone():
    result = mutate("--name", "energy_distance")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 mutants of 1 losses, 0 survived, 0 other problems" in result.stdout


def test_a_misspelt_loss_is_named_without_a_traceback():
    result = mutate("--name", "energy_distanc")
    assert result.returncode != 0
    assert "unknown loss 'energy_distanc'; did you mean 'energy_distance'" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_mutants_survive_a_proof_that_proves_something_else():
    script = """
from tests import mutation

class WrongProof(mutation.Mutator):
    def _try_card(self, card, session):
        test = "test_default_polynomial_kernel_is_the_cube_of_kid"
        return super()._try_card(card._replace(proof="tests/losses/test_divergences.py::" + test), session)

mutation.Mutator = WrongProof
print(mutation.run("energy_distance")[0].problems)
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "('sign flipped survived', 'doubled survived')" in result.stdout, result.stdout + result.stderr
