"""LeNet-5, layer by layer: the library on which every line of the book runs.

Import its modules, not names from here: ``from lenet5lib import arithmetic, models``. Importing the package loads
nothing else: no TensorFlow, no download, no random state, no output.
"""

__version__ = "0.1.0"
