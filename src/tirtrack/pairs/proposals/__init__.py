"""Proposers of boxes without labels, one per file."""

from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Proposer, Rejection
from tirtrack.pairs.proposals.registry import names, propose_all, proposer
from tirtrack.pairs.proposals.saliency import salient_boxes

__all__ = [
    "FoundIn",
    "Proposal",
    "ProposalSet",
    "Proposer",
    "Rejection",
    "names",
    "propose_all",
    "proposer",
    "salient_boxes",
]
