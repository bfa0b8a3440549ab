# docker build -t cimnet-serve .
# docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp -v /path/to/run:/model:ro cimnet-serve
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home --uid 10001 cimnet

WORKDIR /build
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src ./src
COPY recipes ./recipes
RUN pip install ".[serve]"

WORKDIR /home/cimnet
USER cimnet
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

# The checkpoint, best.safetensors of a run folder, is mounted read-only at /model.
ENTRYPOINT ["cimnet", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--port", "8000"]
