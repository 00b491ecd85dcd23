"""What all tests share: a machine in a known state, and nothing left behind.

Everything here runs before JAX starts; with pytest-xdist the workers inherit it from the controller.
"""

import atexit
import importlib.metadata
import os
import shutil
import sys
import tempfile

import pytest

from tools import make

# Tests compile far more than they run. With these flags a program takes half the time to compile and runs about as
# fast. `make test` runs the notebooks with them too: an arithmetic other than the one their outputs were made with.
QUICK_TO_COMPILE = make.quick_to_compile(importlib.metadata.version("jaxlib"))

if "TOYSUP_TEST_FOLDER" not in os.environ:
    os.environ["TOYSUP_TEST_FOLDER"] = folder = tempfile.mkdtemp(prefix="toysup-pytest-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
for name, value in {
    "JAX_COMPILATION_CACHE_DIR": os.path.join(os.environ["TOYSUP_TEST_FOLDER"], "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    "XLA_FLAGS": QUICK_TO_COMPILE,
    "MPLBACKEND": "Agg",
    "HYPOTHESIS_STORAGE_DIRECTORY": os.path.join(os.environ["TOYSUP_TEST_FOLDER"], "hypothesis"),
}.items():
    os.environ.setdefault(name, value)

if os.environ.get("TOYSUP_PERTURBED"):  # make test PERTURBED=1
    import runpy

    runpy.run_path(os.path.join(os.path.dirname(__file__), os.pardir, "tools", "perturb.py"))

from hypothesis import settings  # noqa: E402  (it reads the variable above)

settings.register_profile("toysup", derandomize=True, deadline=None, database=None, max_examples=25)
settings.load_profile("toysup")


@pytest.fixture
def compilations():
    """A context manager that lists what JAX compiled inside it: `with compilations() as compiled: ...`."""
    from helpers import compilations

    return compilations


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Thousands of compiled programs would fill the memory of a small machine; those on disk stay."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()
