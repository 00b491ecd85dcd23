"""Optimisers for one model, written for `vmap` and `scan`: Adam to find a valley, BFGS to reach its bottom."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

RULES = {"adam": optax.scale_by_adam, "sgd": optax.identity}  # what an optimiser makes of a gradient
LONGEST_STEP = 1.0  # of BFGS, in parameter space: weights are of order 1


def adam(objective, start, rate, steps: int, *, key):
    """Adam with a learning rate that falls to 0 as a cosine; arguments as in `descend`.

    Source: Kingma & Ba 2015.
    """
    return descend(objective, start, optax.scale_by_adam(), rate, steps, key=key)


def descend(objective, start, rule, rate, steps: int, *, key):
    """Steps of an optimiser whose rate falls to 0 as a cosine.

    objective: (parameters, key) -> scalar; a new key at every step. start: pytree of parameters.
    rule: optax's transformation of gradients, not yet scaled by the rate.
    Returns the parameters after `steps` steps.
    """

    def step(carry, t):
        parameters, state = carry
        slope = jax.grad(objective)(parameters, jax.random.fold_in(key, t))
        update, state = rule.update(slope, state)
        size = -rate * (1 + jnp.cos(jnp.pi * t / steps)) / 2
        return (optax.apply_updates(parameters, jax.tree.map(lambda u: size * u, update)), state), None

    (parameters, _), _ = jax.lax.scan(step, (start, rule.init(start)), jnp.arange(steps))
    return parameters


def bfgs(objective, start, steps: int, longest: float = LONGEST_STEP):
    """The quasi-Newton method of Broyden, Fletcher, Goldfarb and Shanno, one evaluation per step.

    A step that does not lower the objective is not taken; the next one is shorter. What the rejected point told
    about the curvature is kept. objective: parameters -> scalar, without noise. start: pytree of parameters.
    longest: the longest step, in parameter space. Returns the parameters after `steps` steps.
    Source: Nocedal & Wright, Numerical Optimization, section 6.1.
    """
    x, unravel = ravel_pytree(start)
    value_and_slope = jax.value_and_grad(lambda v: objective(unravel(v)))
    value, slope = value_and_slope(x)
    identity = jnp.eye(x.size, dtype=x.dtype)
    inverse = identity * min(0.3, longest) / jnp.maximum(jnp.linalg.norm(slope), 1e-6)

    def step(carry, _):
        x, value, slope, inverse, scale = carry
        move = _downhill(inverse, slope, scale, longest)
        new_value, new_slope = value_and_slope(x + move)
        better = new_value <= value + 1e-4 * (move @ slope)
        inverse = _update(inverse, move, new_slope - slope)
        pick = lambda new, old: jnp.where(better, new, old)
        scale = jnp.where(better | (scale < 1e-3), 1.0, 0.3 * scale)
        return (pick(x + move, x), pick(new_value, value), pick(new_slope, slope), inverse, scale), None

    carry = (x, value, slope, inverse, jnp.ones((), x.dtype))
    (x, *_), _ = jax.lax.scan(step, carry, None, length=steps)
    return unravel(x)


def _downhill(inverse, slope, scale, longest):
    """The Newton step, or the steepest descent where rounding has made it point uphill; never longer than allowed."""
    move = -inverse @ slope
    move = scale * jnp.where(move @ slope < 0, move, -slope)
    return move * jnp.minimum(1.0, longest / jnp.maximum(jnp.linalg.norm(move), 1e-30))


def _update(inverse, move, change):
    """The inverse Hessian after a move that changed the slope by `change`, kept positive definite."""
    curvature = move @ change
    usable = curvature > 1e-10
    r = 1 / jnp.where(usable, curvature, 1.0)
    through = inverse @ change
    cross = jnp.outer(through, move)
    new = inverse + r * (1 + r * (change @ through)) * jnp.outer(move, move) - r * (cross + cross.T)
    return jnp.where(usable, new, inverse)
