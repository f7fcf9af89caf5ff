"""Samplers: generators of the steps from noise to maps, which use only the scales and times of a process."""
