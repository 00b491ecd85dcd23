"""Toy models of superposition: train many at once, look at what they learned, check it against theory.

Importing it changes no setting of JAX and starts no device. `toysup.configure()`, before anything else uses JAX,
makes every core a device and keeps compiled programs on disk; `toysup.notebook` calls it.

Each module imports only modules above it in this list:

programs, runtime   compiled programs on disk; the cores of this machine, or its accelerator
check               errors for people
features            which features are active together; drawing inputs
model, loss         forward pass and readouts; the expected loss, exact and sampled
optimise, restarts  Adam and BFGS; every model from every start, and the best of them
train               many models in one compiled program
geometry, theory    what shape a W has; closed forms that results are held against
codes               two numbers written in several ways, and read back
coherence, sensing  how many directions fit; sparse vectors read back by a solver and by a network
correlation         features in sets, from never to always together; how a W arranges them
phases, follow      where one plan gives way to another; a solution along a path
packing, thomson    what a shape saves per dimension it takes; points that repel each other
softmax             the readout that is not element by element: cross-entropy, many models at once, shapes to expect
hidden, basis       models with neurons; how features lie to the neurons, turning the hidden space
compute, naive      models that compute |x|, products, AND; the same without superposition
motif               codes that neurons form, the asymmetric motif, and its null models
actions             pairs with two knobs: how often partners meet, how alike they act on the output
branches, recipe    two plans of five features as one of them changes; training as people do it
dynamics, saddles   training that is watched, plateaus and jumps; stationary points and the ways down from them
attacks, robust     small changes of an input that do the most harm; training under attack
memory              training on a set of samples that ends; what is stored of them
autoencoder         sparse autoencoders: variants, training, metrics against ground truth
recovery            toy models whose features an autoencoder should find; baselines
failures            where autoencoders fail: families, a zoo of patients, one card of scores
language            a tiny language with exact labels, real text, a transformer that learns them
cooccurrence        latents in pairs: firing together, pushing alike, and the nulls of both
words               word vectors from counts, of a small language and of the text that Python carries
store, grid, dataset, sweep      labelled grids of models, in chunks that survive
exercises, ledger   checks of the reader's answers; what was published and what holds
marks, plots, page, panel        pictures, in matplotlib and in the browser; sliders
language.dashboard  the browser of latents, in a notebook and as one page
preflight, notebook              is this machine ready; what every notebook imports
"""

from toysup.features import Features, anticorrelated, correlated, independent, sample
from toysup.geometry import canonicalize, feature_dimensionality
from toysup.loss import expected_loss
from toysup.model import forward
from toysup.runtime import configure
from toysup.sweep import sweep
from toysup.train import Fit, train

__version__ = "0.1.0"
__all__ = [
    "Features",
    "Fit",
    "anticorrelated",
    "canonicalize",
    "configure",
    "correlated",
    "expected_loss",
    "feature_dimensionality",
    "forward",
    "independent",
    "sample",
    "sweep",
    "train",
]
