"""Compiles app, deps and the runtime below the directory in argv, to files that are loaded without a look at the source.

Faults of app end it; those of deps do not: packages carry templates and files for other versions.
"""

import compileall
import sys
import warnings
from py_compile import PycInvalidationMode

warnings.simplefilter("ignore")
root = sys.argv[1]
options = dict(force=True, stripdir=root, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
ok = compileall.compile_file(root + "/_joinery_function.py", quiet=1, **options)
ok = compileall.compile_dir(root + "/app", maxlevels=64, quiet=1, **options) and ok
compileall.compile_dir(root + "/deps", maxlevels=64, quiet=2, **options)
sys.exit(0 if ok else 1)
