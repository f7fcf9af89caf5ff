"""Commands that compute in their own process: the only part of focus_tui that may import torch and the numerics.

The rest of focus_tui reads run folders only. Modules of this package are imported inside command bodies, and import
heavy code inside functions where a command can do without torch.
"""
