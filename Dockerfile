# syntax=docker/dockerfile:1
# Stage `bpf` compiles the kernel programs, stage `build` compiles re2 and strips the types; the image
# carries only what runs. Each platform is built on itself (re2 is a native addon).
#
# Base images are tags here: a digest names one build of one day, and this file is built on other days. A release
# gives digests (docs/deployment.md says how), and so its image can be built again from the same bytes.
ARG NODE_IMAGE=node:26-bookworm-slim
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS bpf
RUN apt-get update \
 && apt-get install -y --no-install-recommends clang libbpf-dev linux-libc-dev llvm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY scripts/bpf.mjs scripts/
COPY src/redirect/bpf src/redirect/bpf
RUN node scripts/bpf.mjs /bpf

FROM ${NODE_IMAGE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ libatomic1 make python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY scripts/native.mjs scripts/
# With the optional packages: koffi's binary is one, and so is the Node that all tests run on. What of
# them nobody needs here goes in prune.sh.
RUN npm ci --omit=dev
COPY bin bin
COPY scripts/build.mjs scripts/
COPY src src
COPY --from=bpf /bpf src/redirect/bpf/build
RUN node scripts/build.mjs
COPY deploy/image deploy/image
RUN sh deploy/image/prune.sh /build

FROM ${DEBIAN_IMAGE}
# libbpf1 and iproute2 are the redirect's (`sallyport redirect`), libatomic1 and libstdc++6 are Node's.
# `setpriv`, by which the proxy gives its rights up, is in util-linux, which every Debian has.
RUN apt-get update \
 && apt-get install -y --no-install-recommends iproute2 libatomic1 libbpf1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sallyport
COPY --from=build /build/package.json ./
COPY --from=build /build/bin bin
COPY --from=build /build/deploy/image libexec
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
RUN sh libexec/setup.sh
# Nothing of the image needs root, but what `sallyport redirect` does, and the moment in which the
# proxy of a node gives root up: a DaemonSet says so itself (docs/deployment.md).
USER 1337:1337
ENTRYPOINT ["sallyport"]
CMD ["run", "-c", "/etc/sallyport/config.yaml"]
# For engines that look at it (it asks the admin server that the configuration names); Kubernetes does not,
# it has probes of its own.
HEALTHCHECK --start-period=30s CMD ["sallyport", "status", "-c", "/etc/sallyport/config.yaml"]
