# rejectd for NVIDIA GPUs, and processors where there is none. From the repository's root:
#
#   docker build -f docker/cuda.Dockerfile -t rejectd:cuda .
#   docker run --gpus all ...
#
# The base for building has nvcc, cuBLAS and cuSOLVER; the other one needs only apt sources with the
# libraries of the same version: NVIDIA's images of one version are such a pair. Fewer
# ARCHITECTURES build faster: docker build --build-arg ARCHITECTURES=90 for an H100.
ARG CUDA=12.6.3
ARG BUILD_BASE=nvidia/cuda:${CUDA}-devel-ubuntu24.04
ARG BASE=nvidia/cuda:${CUDA}-base-ubuntu24.04

FROM ${BUILD_BASE} AS build
ARG ARCHITECTURES="75;80;86;89;90"
RUN --mount=type=secret,id=apt --mount=type=secret,id=apt-sources \
    --mount=type=bind,source=docker/apt-install,target=/run/apt-install \
    --mount=type=bind,source=deploy/packages.txt,target=/run/packages.txt \
    sh /run/apt-install $(grep -v '^#' /run/packages.txt)
COPY . /source
WORKDIR /source
# cmake goes on without CUDA where a part of it is missing; then there is no target rejectd_cuda.
RUN cmake --preset release -DCMAKE_C_FLAGS_RELEASE=-O3 -DREJECTD_TESTS=OFF -DREJECTD_WERROR=OFF \
          "-DREJECTD_CUDA_ARCHITECTURES=${ARCHITECTURES}" && \
    cmake --build build/release --target rejectd rejectd-convert rejectctl rejectd_cuda && \
    install -D --strip -t /out/bin build/release/server/rejectd \
            build/release/convert/rejectd-convert build/release/client/rejectctl \
            $(find build/release -name rejectd_cuda.so) && \
    sh docker/linked-packages /out/bin/* >/out/packages

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rejectd" \
      org.opencontainers.image.description="autoreject for EEG and MEG as a service, on GPUs" \
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
# The driver keeps what it compiles for GPUs that are newer than all ARCHITECTURES.
ENV REJECTD_LISTEN=0.0.0.0:8765 \
    REJECTD_DATA_DIR=/var/lib/rejectd \
    CUDA_CACHE_PATH=/var/lib/rejectd/cuda-cache \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 8765:8765
VOLUME /var/lib/rejectd
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["rejectctl", "health"]
ENTRYPOINT ["rejectd"]
