"""A new key of the config is a field of the schema and nothing else: one more line there shows it everywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("one key")  # its tests share a fixture that takes seconds

ONE_MORE_KEY = """
import importlib, importlib.util, json, sys
from pathlib import Path

home, scripts = map(Path, sys.argv[1:])
sys.path.insert(0, str(scripts))
import focus_engine.config.blocks

name = "focus_engine.config.blocks.training"
spec = importlib.util.find_spec(name)
source, line = Path(spec.origin).read_text(), '    \"\"\"The training loop.\"\"\"\\n'
assert source.count(line) == 1
field = '    toy: Literal["odd", "even"] = Field("odd", description="A toy.", json_schema_extra=FREE)\\n'
module = importlib.util.module_from_spec(spec)
sys.modules[name] = focus_engine.config.blocks.training = module
exec(compile(source.replace(line, line + field), spec.origin, "exec"), module.__dict__)

import write_reference
from focus_engine.config.json_schema import json_schema
from focus_engine.config.load import parse_config
from focus_engine.config.schema import Config, plain_config
from focus_engine.errors import InputError
from focus_engine.runs.create import create_experiment
from focus_engine.runs.resumable import check_resumable
from focus_tui.dashboard.new_form import StartingPoint, check_form

def refusal(text):
    try:
        parse_config(text, Path("c"))
    except InputError as error:
        return str(error)

run = create_experiment(home, "a", template="small", settings=["training.toy=even"])
config = parse_config(run.config.read_text(), run.config).config
check_resumable(config, plain_config(Config.model_validate({**plain_config(config),
    "training": {**plain_config(config)["training"], "toy": "odd"}})))
print(json.dumps({
    "config": run.config.read_text(),
    "typo": refusal("training:\\n  toyy: odd"),
    "word": refusal("training: {toy: 3}"),
    "schema": json_schema()["$defs"]["TrainingBlock"]["properties"]["toy"],
    "reference": write_reference.configuration(),
    "form": dict(check_form(home, "b", StartingPoint(template="small"), {"more": "training.toy=x"}).problems),
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What everything says of a key that only the schema knows."""
    scripts = Path(__file__).parents[2] / "scripts"
    command = [sys.executable, "-c", ONE_MORE_KEY, str(tmp_path_factory.mktemp("key")), str(scripts)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_it_is_written_checked_and_described_everywhere(told: dict):
    assert "  toy: even " in told["config"]
    assert "# A toy." in told["config"]
    assert told["typo"] == "c:2: unknown key 'training.toyy'; did you mean 'training.toy'?"
    assert "allowed: 'odd' or 'even'" in told["word"]
    assert told["schema"]["enum"] == ["odd", "even", None]
    assert told["schema"]["description"] == "A toy. May change on resume."
    assert "| `toy` | `odd`, `even` | `odd` | A toy. May change on resume. |" in told["reference"]
    assert "'x' is not allowed" in told["form"]["more"]
