# rejectd for processors. From the repository's root:
#
#   docker build -f docker/cpu.Dockerfile -t rejectd .
#
# The programs choose among the instructions of the processor when they run: the image computes
# the same on any x86-64, and fast on new ones.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN --mount=type=secret,id=apt --mount=type=secret,id=apt-sources \
    --mount=type=bind,source=docker/apt-install,target=/run/apt-install \
    --mount=type=bind,source=deploy/packages.txt,target=/run/packages.txt \
    sh /run/apt-install $(grep -v '^#' /run/packages.txt)
COPY . /source
WORKDIR /source
RUN cmake --preset release -DCMAKE_C_FLAGS_RELEASE=-O3 -DREJECTD_CUDA=OFF -DREJECTD_TESTS=OFF \
          -DREJECTD_WERROR=OFF && \
    cmake --build build/release --target rejectd rejectd-convert rejectctl && \
    install -D --strip -t /out/bin build/release/server/rejectd \
            build/release/convert/rejectd-convert build/release/client/rejectctl && \
    sh docker/linked-packages /out/bin/* >/out/packages

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rejectd" \
      org.opencontainers.image.description="autoreject for EEG and MEG as a service" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="BSD-3-Clause"
# LAPACK and BLAS under their plain names are copies of what is in libopenblas, and unused.
RUN --mount=type=secret,id=apt --mount=type=secret,id=apt-sources \
    --mount=type=bind,source=docker/apt-install,target=/run/apt-install \
    --mount=type=bind,from=build,source=/out/packages,target=/run/packages \
    sh /run/apt-install $(cat /run/packages) && \
    rm -f /usr/lib/*/openblas-openmp/liblapack.so.3 /usr/lib/*/openblas-openmp/libblas.so.3 && \
    groupadd --gid 8765 rejectd && \
    useradd --uid 8765 --gid 8765 --home-dir /var/lib/rejectd --no-create-home --no-log-init \
            --shell /usr/sbin/nologin rejectd && \
    install -d -o rejectd -g rejectd -m 0700 /var/lib/rejectd
COPY LICENSE /usr/share/doc/rejectd/copyright
COPY --from=build /out/bin /usr/local/bin
ENV REJECTD_LISTEN=0.0.0.0:8765 \
    REJECTD_DATA_DIR=/var/lib/rejectd
USER 8765:8765
VOLUME /var/lib/rejectd
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["rejectctl", "health"]
ENTRYPOINT ["rejectd"]
