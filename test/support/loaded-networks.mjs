/* Which graphs of the tiny model are in memory, step by step; the argument is how much memory there is, in MiB. */
import { resolve } from 'node:path';
import { readVersionFolder } from '../../dist/models/manifest.js';
import { Autoencoder } from '../../dist/pipelines/diffusion/autoencoder.js';
import { modelFacts } from '../../dist/pipelines/diffusion/model-facts.js';
import { Networks } from '../../dist/pipelines/diffusion/networks.js';
import { TextEncoding } from '../../dist/pipelines/diffusion/text-encoding.js';

const content = await readVersionFolder(resolve('test/fixtures/diffusion/tiny'));
const resources = { ...content.manifest.resources, memory_mb: Number(process.argv[2]) };
const manifest = { ...content.manifest, resources };
const settings = {
  ...content,
  manifest,
  device: 'cpu',
  limits: { maxPixels: 1 },
  maxOutputBytes: 1,
};
const facts = modelFacts(manifest, content.graphs, content.configs);
const networks = await Networks.open(settings);
const text = await TextEncoding.open(facts, settings, networks);
const seen = { opened: networks.loaded };
const use = networks.use.bind(networks);
networks.use = async (path, work) =>
  await use(path, async (session) => {
    seen[`using ${path}`] = networks.loaded;
    return await work(session);
  });
await text.encodeAll(['a house', '']);
seen['text encoded'] = networks.loaded;
const autoencoder = new Autoencoder(facts, content.graphs, networks);
await autoencoder.decode(new Float32Array(256), { channels: 4, height: 8, width: 8 });
seen['image decoded'] = networks.loaded;
console.log(JSON.stringify(seen));
