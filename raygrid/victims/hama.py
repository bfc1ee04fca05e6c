"""The phoneme recognizer of the package hama 1.3.13, its weights read as data."""

from raygrid.assets import fetch
from raygrid.component import Params
from raygrid.pins import ASSETS
from raygrid.victims.hama_net import SHORTEST, hama_net, read_hama
from raygrid.victims.hama_text import hama_text
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.recognizer import Recognizer


def build(params: Params, info: VictimInfo) -> Recognizer:
    """Build the net with its published weights."""
    model = hama_net()
    load_into(model, read_hama(fetch(ASSETS["hama-asr"])), info.id)
    return Recognizer(model, info, hama_text(), SHORTEST)
