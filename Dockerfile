# Two stages: dependencies without their development part, then the source as it is (Node strips the types).
FROM node:24-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-trixie-slim
WORKDIR /app
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY src ./src
# Started once while the image is built, so that every start finds its code compiled.
RUN node src/cli/main.ts serve --help > /dev/null && node src/cli/main.ts check-config --help > /dev/null && chmod -R a+rX /app
USER 65532:65532
EXPOSE 8443 9090
ENTRYPOINT ["node", "src/cli/main.ts"]
CMD ["serve", "--config", "/etc/keyless-pull/config.yaml", "--tls-cert", "/etc/keyless-pull/tls/tls.crt", "--tls-key", "/etc/keyless-pull/tls/tls.key"]
