"""Files that hold frames, one module a family of containers.

Each opens a file as a :class:`~tirtrack.formats.frame_file.FrameFile`: how many frames, how to
decode one, and what of the file is not used. Begin with ``frame_file``; ``tirtrack.images`` decides
which module opens which file. Nothing here knows folders, order or time beyond one file.
"""
