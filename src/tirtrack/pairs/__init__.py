"""Unlabelled RGB-TIR pairs, and the ways to propose boxes in them."""

from tirtrack.pairs.camera_names import Match, Pairing
from tirtrack.pairs.folder import FolderPairs, open_pairs
from tirtrack.pairs.mine import mine_pairs
from tirtrack.pairs.proposals import Proposer, proposer
from tirtrack.pairs.registering import register_pairs
from tirtrack.pairs.rig import Rig, read_rig
from tirtrack.pairs.source import Manifest, Pair, PairSource, Recording, SourceFile, pairs_line
from tirtrack.pairs.source_views import CombinedPairs

__all__ = [
    "CombinedPairs",
    "FolderPairs",
    "Manifest",
    "Match",
    "Pair",
    "PairSource",
    "Pairing",
    "Proposer",
    "Recording",
    "Rig",
    "SourceFile",
    "mine_pairs",
    "open_pairs",
    "pairs_line",
    "proposer",
    "read_rig",
    "register_pairs",
]
