"""A readout that is not element by element: softmax, judged by cross-entropy in place of the squared error.

Feature i adds to the logit of token i; the target is softmax(confidence · x), the output softmax(Wᵀ W x + b).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def divergence(target, z, axis: int = 0):
    """The Kullback-Leibler divergence KL(softmax(target) || softmax(z)) in nats.

    target, z: logits, of shapes that broadcast; a shift of all logits along `axis` changes nothing.
    Returns the divergences, without `axis`. Source: Cover & Thomas, Elements of Information Theory, section 2.3.
    """
    log_p, log_q = jax.nn.log_softmax(target, axis), jax.nn.log_softmax(z, axis)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis)
