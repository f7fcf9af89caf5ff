"""Generative processes: noise schedules, diffusion, samplers and guidance."""
