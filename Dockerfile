# syntax=docker/dockerfile:1
# Stage 1 compiles re2 and strips the types; stage 2 carries only what runs, as its own user.
FROM node:26-bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY scripts scripts
# The image brings its own Node, so the packages that carry one are left out.
RUN npm ci --omit=dev --omit=optional
COPY . .
RUN node scripts/build.mjs

FROM node:26-bookworm-slim
# 1337 is the user that Cilium's proxies run as (proxy-gid).
RUN groupadd --system --gid 1337 sallyport \
 && useradd --system --uid 1337 --gid 1337 --no-create-home --shell /usr/sbin/nologin sallyport
WORKDIR /opt/sallyport
COPY --from=build /build/package.json ./
COPY --from=build /build/bin bin
COPY --from=build /build/dist dist
COPY --from=build /build/node_modules node_modules
RUN ln -s /opt/sallyport/bin/sallyport /usr/local/bin/sallyport
USER 1337:1337
ENTRYPOINT ["sallyport"]
CMD ["run", "-c", "/etc/sallyport/config.yaml"]
