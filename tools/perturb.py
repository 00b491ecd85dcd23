"""Perturb every normal draw, and so the random starts, by a seeded relative 1e-6: what is printed must not care.

Run by a kernel's start-up file (tools/digits.py, make test PERTURBED=1) or by tests/conftest.py where the environment
variable TOYSUP_PERTURBED holds a seed; notebooks and package know nothing of it.
"""

import os

SIZE = 1e-6  # some ten units in the last place of single precision: more than another processor's rounding


def perturb(seed: int, size: float = SIZE) -> None:
    """From now on jax.random.normal returns z (1 + size z'), with z' normal, drawn from the same key and the seed."""
    import jax

    exact = getattr(jax.random.normal, "exact", jax.random.normal)

    def normal(key, *args, **kwargs):
        z = exact(key, *args, **kwargs)
        return z * (1 + size * exact(jax.random.fold_in(key, seed), *args, **kwargs))

    normal.exact = exact
    jax.random.normal = normal


if os.environ.get("TOYSUP_PERTURBED"):
    perturb(int(os.environ["TOYSUP_PERTURBED"]))
