"""The commands that compute in their own process: the one part of focus_tui that may import torch and maths.

Everything else in focus_tui knows runs by their folders alone. Modules of this package are imported inside
command bodies, and import their own mathematics inside functions where a command can do without torch.
"""
