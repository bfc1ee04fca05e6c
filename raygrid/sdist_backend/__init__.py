"""A folder for PYTHONPATH, not for import: what pip finds in it in place of setuptools while `assets.py` downloads an sdist."""
