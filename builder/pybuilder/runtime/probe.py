"""Prints what the builder needs to know of the interpreter, as JSON."""

import importlib.util
import json
import sys

pip = ""
if importlib.util.find_spec("pip") and sys.version_info >= (3, 8):
    import importlib.metadata

    pip = importlib.metadata.version("pip")
json.dump({"executable": sys.executable, "version": list(sys.version_info[:3]), "full": sys.version,
           "implementation": sys.implementation.name, "cache_tag": sys.implementation.cache_tag, "pip": pip}, sys.stdout)
