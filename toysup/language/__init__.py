"""A tiny language whose every regularity is known, and a transformer small enough to learn it in a minute.

Each module imports only modules above it in this list:

text         real text: what Python carries, a folder of files; characters as numbers
automaton    languages as tables of arcs: exact likelihoods, entropies, draws
modes        the eight modes of the small language
corpus       text drawn from the modes, with exact labels and posteriors
transformer  one layer of attention and neurons; training, evaluation, activations
checkpoint   trained models on disk
cuts         how well firing tells a label at the best cut of all
dictionaries sparse autoencoders of its neurons: on disk, a text observed, worth against the labels
predicates   statements about a character in its context, and a score without a judge
features     everything told about one latent
dashboard    the browser of all that: in a notebook, and as one file
"""
