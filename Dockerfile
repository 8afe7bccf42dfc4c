# One image for the API, the workers and the migrations; compose.yaml says which container runs what.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/postlude
# Before the code, so that these layers change only with the locks. Nothing is resolved: the locks name every package.
COPY requirements/production.lock requirements/build.lock requirements/
RUN pip --python /opt/postlude/bin/python install --no-cache-dir --only-binary :all: \
    --no-deps --require-hashes -r requirements/production.lock \
    && pip --python /opt/postlude/bin/python check
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE postlude_command.py worker_settings.py ./
COPY jobs jobs
COPY service service
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/postlude/bin/python install --no-cache-dir --no-deps --no-index dist/*.whl

FROM python:3.12-slim
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin postlude \
    && install --directory --owner=postlude --group=postlude /app /data
COPY --from=build /opt/postlude /opt/postlude
ENV PATH=/opt/postlude/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    POSTLUDE_HOST=0.0.0.0 \
    POSTLUDE_DATA_DIR=/data
# The current folder is on the import path, so the modules that POSTLUDE_JOBS names go here.
WORKDIR /app
VOLUME /data
# By number, so that an orchestrator can tell that the user is not root.
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as http; http.urlopen('http://127.0.0.1:%s/healthz' % os.environ.get('POSTLUDE_PORT', 8000), timeout=4)"]
# A worker runs `arq worker_settings.WorkerSettings`. Run `postlude migrate` before both.
CMD ["postlude", "api"]
