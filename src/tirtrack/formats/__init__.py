"""Files that hold frames, one module per family of containers.

Each opens a file as a :class:`~tirtrack.formats.frame_file.FrameFile`: the number of frames, how to
decode one, and the unused parts of the file. Begin with ``frame_file``; ``tirtrack.images`` decides
which module opens which file. Nothing here knows folders, order or time beyond one file.
"""
