"""LeNet-5, layer by layer: the library on which every line of the book runs.

Import its modules, not names from here: ``from lenet5lib import arithmetic, models``. Importing the package loads
nothing else: no TensorFlow, no download, no random state, no output.
"""

import os
import tempfile

__version__ = "0.1.0"

if os.path.expanduser("~") == "~":  # No home folder, as in some containers.
    # Matplotlib and Keras look for their settings there, and stop if there is none.
    os.environ["HOME"] = tempfile.gettempdir()
