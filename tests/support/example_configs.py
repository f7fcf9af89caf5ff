"""Configs that several tests read and edit: that of the first version, and the default template."""

from pathlib import Path

from focus_engine.config.templates import TEMPLATES, config_text

HERE = Path("config.yaml")


SEED = """\
experiment:
  name: "experiment_diffusion"
  description: "Standard diffusion"
  created: 2025-01-01
method: "diffusion"  # (or left out)
data:
  maps_path: "../../data/Maps.npy"
  params_path: "../../data/params.txt"
  train_split: 0.9
  num_workers: 4
  shuffle: true
model:
  from: "SimpleUNet"
  in_channels: 1
  out_channels: 1
  cond_dim: 6
  base_channels: 128
  channel_mults: [1, 2, 4, 8]
  time_dim: 256
diffusion:
  timesteps: 1000
  beta_start: 1.0e-4
  beta_end: 0.02
  schedule: "linear"
training:
  batch_size: 64
  num_epochs: 200
  lr: 1e-4
  weight_decay: 1.0e-4
  cfg_prob: 0.1
  sample_every: 10
  gradient_clip: 1.0
  optimizer: "adamw"
  use_augmentation: true
  augmentation: {rotation_p: 0.5, flip_p: 0.5}
  scheduler: {name: "plateau", factor: 0.3, patience: 2, min_lr: 1e-7, warmup_epochs: 5, T_max: 195, eta_min: 0,
              step_size: 30, gamma: 0.1}
  early_stopping: {patience: 10, min_delta: 0.0}
sampling:
  method: "ddim"
  ddim_timesteps: 50
  num_steps: 50
  cfg_scale: 2.0
  eta: 0
device: "cuda:1"
"""


TEMPLATE = config_text(TEMPLATES["diffusion"], name="x", created="2026-01-01", schema="s.json")
