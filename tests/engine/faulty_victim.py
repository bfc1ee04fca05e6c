"""A victim that a job brings as code: mnist-cnn, but for the marked sample, on which it fails in the way the job says.

It behaves while the folder `mended` exists. Keys are the same either way, since neither code nor arguments change.
"""

import os
import signal
import time
from collections import OrderedDict
from pathlib import Path

from torch import nn

from raygrid.victims.mnist_cnn import mnist_cnn

MARK = 0.5
"""Value of the first pixel of the marked sample. Digits have 0 there, and 1 where the preflight inverts them."""


def _raise(mended, logits, marked):
    raise ArithmeticError("the marked sample is too much for this victim")


def _nan(mended, logits, marked):
    return logits.masked_fill(marked[:, None], float("nan"))


def _kill(mended, logits, marked):
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_once(mended, logits, marked):
    mended.mkdir(exist_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(mended, logits, marked):
    time.sleep(3600)


def _flat(mended, logits, marked):
    return logits[:, 0]


FAULTS = {"raise": _raise, "nan": _nan, "kill": _kill, "kill-once": _kill_once, "hang": _hang, "flat": _flat}


class Faulty(nn.Sequential):
    """The net of mnist-cnn, whose weights fit."""

    def __init__(self, fault, mended):
        super().__init__(OrderedDict(mnist_cnn().named_children()))
        self.fault, self.mended = FAULTS[fault], Path(mended)

    def forward(self, x):
        logits = super().forward(x)
        marked = (x[:, 0, 0, 0] - MARK).abs() < MARK / 2  # so no attack of eps 0.2 hides or fakes the mark
        if bool(marked.any()) and not self.mended.exists():
            return self.fault(self.mended, logits, marked)
        return logits


def make(fault, mended):
    """Build the victim, whose weights come with the job."""
    return Faulty(fault, mended)
