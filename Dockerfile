# tcli for the CPU: docker build -t tcli:0.1.0 .
# BASE is any image with Python 3.11 or newer and its venv module; both stages use the same one.
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
RUN python3 -m venv /opt/tcli
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY triton_cli triton_cli
COPY server/tcli_server server/tcli_server
COPY client client
COPY analyzer/tcli_analyzer analyzer/tcli_analyzer
COPY examples/images/coffee.jpg examples/images/coffee.jpg
COPY deploy deploy
# onnxruntime-gpu carries the CUDA provider, several hundred MB that no CPU has a use for: the CPU's build takes its place.
RUN /opt/tcli/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && unzipped="$(/opt/tcli/bin/python -c 'import glob, zipfile; w = zipfile.ZipFile(glob.glob("/wheels/tcli-*.whl")[0]); print(w.read(next(n for n in w.namelist() if n.endswith("METADATA"))).decode())')" \
    && printf '%s\n' "$unzipped" | sed -n 's/^Requires-Dist: //p' | grep -v 'extra ==' \
       | sed 's/^onnxruntime-gpu.*/onnxruntime>=1.20/; /^onnxruntime>=1.20;/d' > /wheels/requirements.txt \
    && /opt/tcli/bin/pip install --no-cache-dir --no-compile -r /wheels/requirements.txt \
    && /opt/tcli/bin/pip install --no-cache-dir --no-compile --no-deps /wheels/tcli-*.whl \
    && /opt/tcli/bin/pip uninstall --yes pip \
    && find /opt/tcli -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + \
    && /opt/tcli/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/tcli/lib

FROM ${BASE}
# Nothing can be written when a replica starts, so what it imports is compiled here; Python's images come without that.
RUN python3 -m compileall -q -j 0 -x 'lib2to3|/tests?/|-packages/' "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/tcli /opt/tcli
# Nothing is written but below /tmp, so the root file system may be read-only: give /tmp a tmpfs.
ENV PATH=/opt/tcli/bin:$PATH HOME=/tmp XDG_CACHE_HOME=/tmp MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
ENTRYPOINT ["tcli"]
CMD ["serve", "--model-repository=/models"]
