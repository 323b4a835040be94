FROM python:3.12-slim AS build
WORKDIR /build
COPY constraints.txt pyproject.toml README.md ./
COPY sql sql
COPY src src
RUN python3 -m venv /opt/ai-grpc \
    && /opt/ai-grpc/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt .

FROM python:3.12-slim
COPY --from=build /opt/ai-grpc /opt/ai-grpc
RUN useradd --system --create-home ai-grpc
USER ai-grpc
ENV PATH=/opt/ai-grpc/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 50051
# The exec form: a shell as process 1 would keep SIGTERM from the server, and nothing would drain.
ENTRYPOINT ["ai-grpc"]
CMD ["serve"]
