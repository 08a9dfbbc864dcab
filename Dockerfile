# The gateway as an image. Run it:
#   docker build -t clipwire .
#   docker run --init -p 8000:8000 -v clipwire:/data --read-only --stop-timeout 45 \
#     -e GATEWAY_ADMIN_KEY=... clipwire
# It does not start without a key or GATEWAY_OPEN (docs/operations.md, Keys).
# --init reaps what a killed child leaves behind; 45 s is GATEWAY_SHUTDOWN_S for open streams, and more.
# An image holds PyAV's wheel, which bundles x264 (GPL): see docs/licences.md. Where it may run: docs/deploy.

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/clipwire
ENV PATH=/opt/clipwire/bin:$PATH
WORKDIR /build

# every package is the one whose hash is in the lock; this layer changes with the lock only
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

# the build backend is held to the same: its hashes are in the lock of the tests (the lock above
# brought the pip that knows --build-constraint)
COPY tests/requirements.lock tests/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY clients/python/clipwire clients/python/clipwire
# the page's client, which the package has as a link
COPY clients/js/clipwire.js clients/js/clipwire.js
RUN pip install --no-deps --build-constraint tests/requirements.lock .


FROM python:3.11-slim

COPY --from=build /opt/clipwire /opt/clipwire

# models and spools: the only folder that is written to, so the rest may be mounted read-only
RUN install -d -o 10001 -g 10001 /data
VOLUME /data

ENV PATH=/opt/clipwire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_DATA_DIR=/data

# by number, so that an orchestrator can see that it is not root
USER 10001:10001
WORKDIR /opt/clipwire
EXPOSE 8000

# as the gateway itself: GATEWAY_PORT before PORT, an empty one counts as unset; never through a proxy
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import os, urllib.request as r; port = os.environ.get('GATEWAY_PORT') or os.environ.get('PORT') or '8000'; r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{port}/live', timeout=4)"]

CMD ["python", "-m", "gateway", "serve"]
