# Two stages. The first installs, lists what it installed, and compiles; the second is the files that are run, and nothing
# besides: no shell, no package manager, no library that Node does not load. Nothing here knows an architecture.
# BASE needs node 24 with npm, and a Debian around it. A release names it by the digest that its tag has that day.
ARG BASE=node:24-trixie-slim

FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json LICENSE ./
# A registry of your own: its .npmrc as the secret `npmrc`, its authority as the secret `ca` (docs/air-gap.md).
# The list is taken without devDependencies in package.json: with `--omit dev`, npm leaves out what both kinds need.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca \
    npm ci --omit=dev --ignore-scripts \
    && npm pkg delete devDependencies scripts \
    && npm sbom --sbom-format cyclonedx > /npm.cdx.json \
    && find node_modules -type f '(' -name '*.ts' -o -name '*.[cm]ts' -o -name '*.map' ')' -delete \
    && rm package-lock.json
COPY tools/image/runtime-files.ts tools/image/warm-up.ts /build/
COPY src ./src
RUN node /build/runtime-files.ts /npm.cdx.json /root-files && install -d -o 65532 .compile-cache
# Node keeps compiled code by user and by flags: these are those of the second stage.
USER 65532:65532
RUN NODE_COMPILE_CACHE=/app/.compile-cache node --max-semi-space-size=8 /build/warm-up.ts
USER 0:0
# Read by that user, written by nobody.
RUN chown -R 0:0 /app && chmod -R a+rX,go-w /app /root-files

FROM scratch
# Apart, so that a release of ours does not move Node once more.
COPY --from=build /root-files /
COPY --from=build /app /app
ARG BASE VERSION=0.0.0 REVISION=unknown SOURCE=
LABEL org.opencontainers.image.title="keyless-pull" \
      org.opencontainers.image.description="Pods pull private images as themselves" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE}"
WORKDIR /app
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache
USER 65532:65532
EXPOSE 8443 9090
# What ten thousand pods listed at once need for a moment is not kept for ever.
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=8", "/app/src/cli/main.ts"]
CMD ["serve", "--config", "/etc/keyless-pull/config.yaml"]
