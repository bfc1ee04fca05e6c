"""Stands in for setuptools when pip asks an sdist what it is, so that the package's setup.py is never run."""
