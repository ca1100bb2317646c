"""How recordings of a rig may lie on disk: one file a layout.

``cameras`` is the layout of most rigs, ``tir_alone`` takes what has no partner; ``listing`` and
``matched_files`` are what they share.
"""
