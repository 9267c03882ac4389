"""The repository's root as one Python package: `from jacquard.compiler.graph import ...`.

Sources and generated files lie in one runfiles tree, so a single entry covers both; the folders
below are namespace packages and need no __init__.py.
"""

import os.path

# Not realpath: the link leads out of the runfiles tree, past the generated files.
__path__.append(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..")))
