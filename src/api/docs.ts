/* /openapi.json, and /docs: a page that shows it, with nothing from anybody else's server. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Router } from 'express';
import { openApiDocument, type OpenApiDocument, type OpenApiSettings } from './openapi/document.ts';
import { Problem } from './problems.ts';

const SWAGGER_UI = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Buzzer API</title>
    <link rel="icon" href="/docs/favicon-32x32.png" />
    <link rel="stylesheet" href="/docs/swagger-ui.css" />
  </head>
  <body>
    <div id="ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/init.js"></script>
  </body>
</html>
`;

const INIT = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', validatorUrl: null, deepLinking: true });
`;

/** The models may change while it is up: the document is made when it is asked for. */
export function docsRouter(settings: OpenApiSettings): Router {
  const router = Router();
  let made: { readonly of: readonly unknown[]; readonly document: OpenApiDocument } | null = null;
  router.get('/openapi.json', (_request, response) => {
    const models = settings.repository.all();
    const isSame =
      made?.of.length === models.length && models.every((each, i) => each === made?.of[i]);
    if (made === null || !isSame) made = { of: models, document: openApiDocument(settings) };
    response.json(made.document);
  });
  router.get('/docs', (_request, response) => void response.type('html').send(PAGE));
  router.get('/docs/init.js', (_request, response) => void response.type('js').send(INIT));
  router.get('/docs/:asset', (request, response) => {
    const { asset } = request.params;
    if (!ASSETS.includes(asset)) throw new Problem('not_found', `nothing is at ${request.path}`);
    response.sendFile(join(SWAGGER_UI, asset), { maxAge: '1h' });
  });
  return router;
}
