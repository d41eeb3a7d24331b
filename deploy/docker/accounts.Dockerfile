# Build from the root of the repository: docker build -f deploy/docker/accounts.Dockerfile -t turnpike/accounts .
FROM python:3.11-slim-bookworm AS build

COPY locks/accounts.txt /tmp/requirements.txt
RUN python -m venv --without-pip /opt/turnpike \
 && pip --python /opt/turnpike/bin/python install --no-cache-dir --require-hashes --no-deps --only-binary :all: \
    --requirement /tmp/requirements.txt

# Pure Python without a build step: the sources of this service and of what it imports go side by side.
COPY protos/gen/ libs/contracts/src/ libs/servicekit/src/ services/accounts/src/ /opt/turnpike/lib/python3.11/site-packages/
# The file system is read-only later, so the byte code is made here, and never compared with a time of change.
RUN /opt/turnpike/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/turnpike/lib

FROM python:3.11-slim-bookworm

COPY --from=build /opt/turnpike /opt/turnpike
COPY catalog/providers.yaml /usr/share/turnpike/catalog/
COPY catalog/models/ /usr/share/turnpike/catalog/models/
USER 10001:10001
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 50051 9090
ENTRYPOINT ["/opt/turnpike/bin/python", "-m", "accounts"]
