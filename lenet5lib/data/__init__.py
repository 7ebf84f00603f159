"""The data: MNIST, the stand-in for it, one's own files, and the split into training, validation and test set."""

from lenet5lib.data.formats import CLASSES, SIDE, DataError, Digits, checksum
from lenet5lib.data.inputs import fit, prepare, require_inputs
from lenet5lib.data.mnist import MNIST_FACTS, MNIST_LABEL_ERRORS, load_digits, read
from lenet5lib.data.splits import Dataset, Splits, split, stratified_split
from lenet5lib.data.standin import STAND_IN, stand_in

# fmt: off
__all__ = [
    "CLASSES", "MNIST_FACTS", "MNIST_LABEL_ERRORS", "SIDE", "STAND_IN", "DataError",
    "Dataset", "Digits", "Splits", "checksum", "fit", "load_digits", "prepare", "read",
    "require_inputs", "split", "stand_in", "stratified_split",
]
# fmt: on
