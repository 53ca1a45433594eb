"""The tests of the surrogates' papers: the smallest experiment that shows that an implementation has the property."""
