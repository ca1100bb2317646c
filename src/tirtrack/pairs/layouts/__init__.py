"""How recordings of a rig may lie on disk: one file a layout."""
