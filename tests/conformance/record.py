"""Writes down what a server answers: `python tests/conformance/record.py [--only TOPIC] HTTP GRPC METRICS`.

The recordings in `recorded/answers` are a real Triton's. To make them again, start one, whose models run with numpy 1:

    PYTHONDONTWRITEBYTECODE=1 tritonserver --model-repository=tests/conformance/python_models --model-control-mode=explicit
    python tests/conformance/record.py localhost:8000 localhost:8001 localhost:8002

Triton 2.51 aborts now and then (its locks between processes, its streams): record what is left `--only` by topic, each with a
server started anew. An exchange that it never answers is recorded as that after `--patience`.

With `--into FOLDER` the answers of any other server are written there, to be compared file by file.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.recorded.exchanges import TOPICS
from conformance.recorded.recording import ANSWERS, answers_of, load_models, written
from conformance.recorded.wire import Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("http", help="host:port")
    parser.add_argument("grpc", help="host:port")
    parser.add_argument("metrics", help="host:port")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answers")
    parser.add_argument("--only", choices=TOPICS, action="append", help="only this topic")
    parser.add_argument("--patience", type=float, default=10, help="seconds that an answer may take")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    server = Server(options.http, options.grpc, options.metrics, options.patience)
    about = server.http.get("/v2").json()
    load_models(server)
    for topic in options.only or TOPICS:
        answers = answers_of(server, topic)
        (options.into / f"{topic}.json").write_text(written(answers), encoding="utf-8")
        print(f"{topic}: {len(answers)} exchanges with {about['name']} {about['version']}")
    (options.into / "server.json").write_text(json.dumps({key: about[key] for key in ("name", "version")}) + "\n")


if __name__ == "__main__":
    main()
