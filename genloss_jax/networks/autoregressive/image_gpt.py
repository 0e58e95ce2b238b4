"""A causal transformer over the numbers of an example."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genloss_jax.networks import initializers
from genloss_jax.networks.layers import ACTIVATIONS, Dense, Dropout, Embed


class CausalAttention(nn.Module):
    """Each place of a sequence looks at itself and at the places before it, with several heads.

    Attributes:
        num_heads: they share the width equally.
    """

    num_heads: int

    @nn.compact
    def __call__(self, x):
        """Map `[B, T, width]` to the same shape."""
        batch, length, width = x.shape
        parts = Dense(3 * width)(x).reshape(batch, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = (parts[:, :, index] for index in range(3))
        heads = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        return Dense(width)(heads.reshape(x.shape))


class Block(nn.Module):
    """Attention and a perceptron of one hidden layer, each normalised before and added to its input.

    Attributes:
        num_heads: of the attention.
        dropout: share of what each of the two adds that is set to 0 while training.
        activation: a name of `layers.ACTIVATIONS`.
    """

    num_heads: int
    dropout: float
    activation: str

    @nn.compact
    def __call__(self, x, *, train: bool):
        """Map `[B, T, width]` to the same shape."""

        def added(x, branch):
            return x + Dropout(self.dropout, deterministic=not train)(branch)

        x = added(x, CausalAttention(self.num_heads)(nn.LayerNorm()(x)))
        hidden = ACTIVATIONS[self.activation](Dense(4 * x.shape[-1])(nn.LayerNorm()(x)))
        return added(x, Dense(x.shape[-1])(hidden))


class ImageGPT(nn.Module):
    """Logits of each number of an example, given the numbers before it in raster order, channels innermost.

    The numbers are tokens with learned places; each token's successor is predicted, the first one's from a token that
    stands before all. The logits start at 0.

    Attributes:
        width: of the tokens.
        depth: blocks.
        num_levels: K, values that each number takes.
        num_heads: of the attention; they share the width equally.
        dropout: in each block, while training.
        activation: a name of `layers.ACTIVATIONS`.

    References:
        Chen et al. 2020, "Generative pretraining from pixels"; Radford et al. 2019, "Language models are unsupervised
        multitask learners", for the place of the normalisation.
    """

    width: int
    depth: int
    num_levels: int
    num_heads: int = 4
    dropout: float = 0.0
    activation: str = "gelu"

    @nn.compact
    def __call__(self, bins, *, train: bool = False):
        """Map bins `[B, ...]` to logits `[B, ..., K]`."""
        batch, length = bins.shape[0], math.prod(bins.shape[1:])
        tokens = bins.reshape(batch, length)
        start = jnp.full((batch, 1), self.num_levels, tokens.dtype)
        known = jnp.concatenate([start, tokens[:, :-1]], axis=1)
        x = Embed(self.num_levels + 1, self.width, embedding_init=initializers.normal())(known)
        x = x + self.param("place", initializers.normal(), (length, self.width))[None]
        x = Dropout(self.dropout, deterministic=not train)(x)
        for _ in range(self.depth):
            x = Block(self.num_heads, self.dropout, self.activation)(x, train=train)
        logits = Dense(self.num_levels, kernel_init=nn.initializers.zeros)(nn.LayerNorm()(x))
        return logits.reshape(*bins.shape, self.num_levels)
