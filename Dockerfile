# One image, three commands: api (default), orchestration, inference.
#   docker build -t buzzer .
# glibc only: neither ONNX Runtime nor Temporal's core runs on Alpine.

FROM node:24-bookworm-slim AS build
WORKDIR /app
# onnxruntime-node's install script fetches CUDA libraries, which the CPU does not need.
ENV ONNXRUNTIME_NODE_INSTALL=skip
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY examples/models ./examples/models
RUN npm run build && npm prune --omit=dev \
 # ONNX Runtime ships every platform: keep this one.
 && rm -rf node_modules/onnxruntime-node/bin/napi-v6/darwin node_modules/onnxruntime-node/bin/napi-v6/win32

FROM node:24-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
# setpriv, which ties model processes to their worker, is part of util-linux and already here.
COPY --from=build --chown=node:node /app/package.json ./
COPY --chown=node:node NOTICE ./
COPY --from=build --chown=node:node /app/node_modules ./node_modules
COPY --from=build --chown=node:node /app/dist ./dist
COPY --chown=node:node models ./models
COPY --from=build --chown=node:node /app/examples/models ./examples/models
RUN mkdir /data && chown node:node /data
ENV BUZZER_DATA_DIR=/data \
    BUZZER_MODELS=models
VOLUME /data
USER 1000
EXPOSE 8080
CMD ["node", "dist/api/server.js"]
