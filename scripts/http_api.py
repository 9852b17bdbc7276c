"""Attacks the HTTP endpoints with what schemathesis makes of their own description.

    pip install schemathesis openapi-spec-validator
    python scripts/http_api.py --secs 300

It starts a server with a few models, and ends with schemathesis' status. Not asked is whether all that the description allows is
accepted, and nothing else: a name may be nobody's, and much is accepted as Triton does. What a 500 may say is in
`http_api_checks.py`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT / "tests")]

import onnx_models  # noqa: E402
from repositories import add_sub_config, write_model  # noqa: E402
from tcli_server import Engine, EngineOptions  # noqa: E402
from tcli_server.serving import ServeOptions, Server  # noqa: E402

NOT_ASKED = "not_a_server_error,positive_data_acceptance,negative_data_rejection"


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--secs", type=int, default=60, help="how long it may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schemathesis", default="schemathesis", help="the command")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        write_model(repository, "0", onnx_models.identity())  # the name that comes first to schemathesis' mind
        write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\nb\n"})
        engine = Engine(repository, options=EngineOptions(model_control_mode="explicit", load_models=("*",)))
        options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
        with Server(engine, options) as server:
            url = f"http://127.0.0.1:{server.http_port}/v2/openapi.json"
            command = [arguments.schemathesis, "run", url, "--no-color", "--exclude-checks", NOT_ASKED]
            command += ["--max-time", str(arguments.secs), "--seed", str(arguments.seed), "--continue-on-failure"]
            path = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "SCHEMATHESIS_HOOKS": "http_api_checks"}
            return subprocess.run(
                command, cwd=folder, env=path, timeout=arguments.secs * 2 + 300, check=False
            ).returncode


if __name__ == "__main__":
    sys.exit(main())
