"""The README of an experiment, in English and Korean, filled in from its config.

The texts are package data (`focus_engine/experiment_files`); this module holds the words that depend on the config.
"""

import os
import shlex
from importlib import resources
from string import Template

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.blocks.training import SchedulerBlock
from focus_engine.config.networks import keys_read, settings_words
from focus_engine.config.samplers import SAMPLERS
from focus_engine.config.schema import Config
from focus_engine.config.yaml_edit import yaml_value
from focus_engine.errors import InputError
from focus_engine.events.epoch_block import epoch_block
from focus_engine.events.table import EpochFinished

SEED_MODEL = ModelBlock(base_channels=128, channel_mults=(1, 2, 4, 8), time_dim=256, cond_dim=6)
"""The network whose number of weights, 143 M, the README names."""


LANGUAGES = ("en", "ko")
"""Languages of an experiment's README."""


def locale_language() -> str:
    """Return the language of the user's locale: `ko` for Korean, else `en`."""
    named = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ko" if next((value for value in named if value), "").lower().startswith("ko") else "en"


def readmes(name: str, config: Config, language: str | None = None) -> dict[str, str]:
    """Return the READMEs of an experiment by file name: README.md in `language`, the other language beside it.

    The default language is that of the locale.

    Raises:
        InputError: an unknown language.
    """
    language = language or locale_language()
    if language not in LANGUAGES:
        raise InputError(f"--lang {language!r} is unknown; allowed: {', '.join(LANGUAGES)}")
    english, korean = readme("README.md", name, config), readme("README.ko.md", name, config)
    if language == "ko":
        return {"README.md": korean, "README.en.md": english}
    return {"README.md": english, "README.ko.md": korean}


def experiment_file(name: str) -> str:
    """Return the text of the package's file `name` for experiments."""
    return resources.files("focus_engine").joinpath("experiment_files", name).read_text(encoding="utf-8")


def readme(file: str, name: str, config: Config) -> str:
    """Return the README `file` (README.md or README.ko.md) of the experiment `name`."""
    model, training, sampling = config.model, config.training, config.sampling
    return Template(experiment_file(file)).substitute(
        name=name,
        arg=shlex.quote(name),
        description=(config.experiment.description or "An experiment of FOCUS").rstrip(". "),
        method=config.method,
        network=model.from_,
        **_network_words(model),
        parameters=", ".join(config.data.params or PARAMETER_NAMES[: model.cond_dim]) or "-",
        batch_size=training.batch_size,
        num_epochs=training.num_epochs,
        lr=yaml_value(training.lr),
        sampler=f"`{sampling.method}`",
        steps=SAMPLERS[sampling.method].steps_in(config),
        min_delta=yaml_value(training.early_stopping.min_delta),
        block=epoch_block(_example(config)),
        **_method_words(config),
        **_data_words(config),
        **_schedule_words(config),
    )


def _network_words(model: ModelBlock) -> dict[str, str]:
    """How large the network is."""
    if "base_channels" not in keys_read(model.from_):
        return dict.fromkeys(("size", "size_ko"), settings_words(model))
    base, mults, time = model.base_channels, yaml_value(model.channel_mults), model.time_dim
    known = model == SEED_MODEL
    return {
        "size": f"{base} base channels x {mults}, time embedding {time}" + (": 143 M weights" if known else ""),
        "size_ko": f"base channels {base} x {mults}, 시간 임베딩 {time}" + (": 파라미터 143M" if known else ""),
    }


def _method_words(config: Config) -> dict[str, str]:
    """Return what differs between the methods: path, target, remedy, example setting and paper."""
    return {"flow": _flow_words, "edm": _edm_words}.get(config.method, _diffusion_words)(config)


def _flow_words(config: Config) -> dict[str, str]:
    path = config.flow_matching
    slope = path.sigma_max - path.sigma_min
    falling = f"{path.sigma_max:g} - {'' if slope == 1 else f'{slope:g} '}t"
    straight = f"x_t = t x + ({falling}) ε, t = 0 (noise) ... 1 (map)"
    return {
        "target": "velocity from noise to map",
        "target_ko": "노이즈에서 맵으로 가는 속도를",
        "path": straight,
        "remedy": "more `sampling.num_steps`, a longer `training.ema_decay`",
        "remedy_ko": "`sampling.num_steps`를 늘리거나 `training.ema_decay`를 길게",
        "setting": "flow_matching.time_sampling=logit_normal",
        "paper": "Flow matching: Lipman et al. 2023, arXiv:2210.02747; Liu, Gong & Liu 2023, arXiv:2209.03003",
        "paper_ko": "Flow matching: Lipman et al. (2023), arXiv:2210.02747; Liu et al. (2023), arXiv:2209.03003",
    }


def _edm_words(config: Config) -> dict[str, str]:
    edm = config.edm
    return {
        "target": "map and noise, mixed to unit variance,",
        "target_ko": "분산이 1이 되도록 섞은 맵과 노이즈를",
        "path": f"x = map + σ ε, σ = {edm.sigma_max:g} (noise) ... {edm.sigma_min:g}",
        "remedy": "a larger `edm.sigma_max`, more `sampling.num_steps`",
        "remedy_ko": "`edm.sigma_max`를 키우거나 `sampling.num_steps`를 늘려",
        "setting": "edm.p_std=1.4",
        "paper": "EDM: Karras, Aittala, Aila & Laine 2022, arXiv:2206.00364",
        "paper_ko": "EDM: Karras, Aittala, Aila & Laine (2022), arXiv:2206.00364",
    }


def _diffusion_words(config: Config) -> dict[str, str]:
    diffusion = config.diffusion
    targets = {"epsilon": ("noise", "노이즈 ε을"), "v": ("velocity v", "속도 v를"), "x0": ("map", "맵을")}
    target, target_ko = targets[diffusion.prediction]
    return {
        "target": target,
        "target_ko": target_ko,
        "path": f"{diffusion.schedule}, T = {diffusion.timesteps}",
        "remedy": "`diffusion.schedule: cosine`, or `prediction: v` with `zero_terminal_snr: true`",
        "remedy_ko": "`diffusion.schedule: cosine`, 또는 `prediction: v`와 `zero_terminal_snr: true`",
        "setting": "diffusion.schedule=cosine",
        "paper": "DDIM: Song, Meng & Ermon 2021, arXiv:2010.02502",
        "paper_ko": "DDIM: Song, Meng & Ermon (2021), arXiv:2010.02502",
    }


def _data_words(config: Config) -> dict[str, str]:
    data = config.data
    if data.source == "files":
        paths = ", ".join(f"`{path}`" for path in data.map_files or (data.data_dir,))
        return {"data": paths, "data_ko": paths}
    size = f"{data.map_size} x {data.map_size}"
    return {
        "data": f"{data.simulations} universes that FOCUS simulates itself, {size} pixels",
        "data_ko": f"FOCUS가 직접 시뮬레이션한 우주 {data.simulations}개, {size} 픽셀",
    }


def _schedule_words(config: Config) -> dict[str, str]:
    scheduler, patience = config.training.scheduler, config.training.early_stopping.patience
    if scheduler.name == "plateau":
        count, factor = scheduler.patience, scheduler.factor
        en = f"- **Plateau**: after {count} bad epochs the learning rate is multiplied by {factor}."
        ko = f"- **Plateau**: bad epoch가 {count}번이면 learning rate에 {factor}을(를) 곱합니다."
    else:
        en = f"- **Learning rate** after warmup: {scheduler.name}."
        ko = f"- Warmup 뒤의 **learning rate**: {scheduler.name}."
    stop_en = f"- **Early Stop**: training ends after {patience} bad epochs in a row."
    stop_ko = f"- **Early Stop**: {patience} epoch 동안 개선이 없으면 학습을 끝냅니다."
    if not patience:
        stop_en, stop_ko = "- **Early Stop** is off.", "- **Early Stop**은 꺼져 있습니다."
    words = {"plateau_en": en, "plateau_ko": ko, "stopping_en": stop_en, "stopping_ko": stop_ko}
    return words | _warmup_words(scheduler)


def _warmup_words(scheduler: SchedulerBlock) -> dict[str, str]:
    steps = scheduler.warmup_steps
    count, unit = (scheduler.warmup_epochs, "epoch") if steps is None else (steps, "step")
    if not count:
        return {"warmup_en": "- **Warmup** is off.", "warmup_ko": "- **Warmup**은 꺼져 있습니다."}
    span = unit if count == 1 else f"{count} {unit}s"
    return {
        "warmup_en": f"- **Warmup** is linear over the first {span}; bad epochs are counted after it.",
        "warmup_ko": f"- **Warmup**: 처음 {count} {unit} 동안 learning rate가 선형으로 증가합니다. "
        "bad epoch는 그 뒤부터 셉니다.",
    }


def _example(config: Config) -> EpochFinished:
    """Return an epoch 1 with made-up losses, as an example of the epoch block."""
    training, scheduler = config.training, config.training.scheduler
    warmup = scheduler.warmup_epochs
    return EpochFinished(
        epoch=1,
        num_epochs=training.num_epochs,
        phase="warmup" if warmup else "training",
        step=1,
        train_loss=0.1234,
        val_loss=0.1456,
        val_loss_raw=None,
        lr=training.lr / max(1, warmup),
        next_lr=training.lr,
        lr_cut=False,
        grad_norm=None,
        seconds=120.5,
        maps_per_second=None,
        data_wait=None,
        is_best=True,
        best_val_loss=0.1456,
        best_epoch=1,
        scheduler=scheduler.name,
        bad_epochs=0,
        plateau_patience=scheduler.patience if scheduler.name == "plateau" else None,
        early_stop_count=0,
        early_stop_patience=training.early_stopping.patience or None,
        pk_error=None,
        eta_seconds=None,
    )
