/* Server-sent events: the state of a prediction, for as long as it changes. */
import { readFile } from 'node:fs/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affine, burn, Service } from '../support/service.ts';

let service: Service;

beforeAll(async () => {
  service = await Service.start();
});
afterAll(async () => await service.close());

interface Event {
  readonly event: string;
  readonly data: Prediction & { fraction?: number };
}

/** With everything in it, as a read record has it. */
const connect = async (id: string, signal?: AbortSignal) =>
  await fetch(
    `${service.url}/v1/predictions/${id}/events?include=input,output`,
    signal === undefined ? {} : { signal },
  );

/** Every event until the server closes. */
async function eventsOf(response: Response): Promise<Event[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [event = '', data = ''] = block.split('\n');
      return { event: event.slice(7), data: JSON.parse(data.slice(6)) as Event['data'] };
    });
}

test('each connection begins with the record, follows it, and closes with the final one', async () => {
  const page = await readFile('examples/page.png');
  const input = { image: `data:image/png;base64,${page.toString('base64')}` };
  const { id, urls } = await service.submit('ocr', input);
  const streams = await Promise.all(Array.from({ length: 5 }, async () => await connect(id)));
  const all = await Promise.all(streams.map(eventsOf));
  const record = await service.read(id);

  expect(urls.events).toBe(`${service.url}/v1/predictions/${id}/events`);
  expect(streams[0]?.headers.get('Content-Type')).toBe('text/event-stream; charset=utf-8');
  for (const events of all) {
    expect(events[0]).toMatchObject({ event: 'prediction', data: { id, object: 'prediction' } });
    expect(events.at(-1)).toEqual({ event: 'prediction', data: record });
    expect(record.status).toBe('succeeded');
  }
});

test('a status that changes is told', async () => {
  const { id } = await service.submit('burn', burn(60));
  const stream = connect(id);
  await service.processing(id);
  await service.busyModelProcess();
  await service.cancel(id);
  const statuses = (await eventsOf(await stream)).map(({ data }) => data.status);

  expect(statuses).toContain('processing');
  expect(statuses.at(-1)).toBe('canceled');
});

test('one that has ended is told in one event; one that is unknown is a problem', async () => {
  const { id } = await service.submit('affine', affine());
  await service.ended(id);
  const events = await eventsOf(await connect(id));
  const unknown = await connect(`pred_${'0'.repeat(26)}`);

  expect(events).toHaveLength(1);
  expect(events[0]?.data.status).toBe('succeeded');
  expect(unknown.status).toBe(404);
  expect(unknown.headers.get('Content-Type')).toContain('application/problem+json');
});

test('hanging up cancels nothing, and an API that stops does not wait for listeners', async () => {
  const { id } = await service.submit('burn', burn(60));
  const controller = new AbortController();
  await connect(id, controller.signal);
  controller.abort();
  const stream = await connect(id);
  const startedAt = Date.now();
  await service.api.signal('SIGTERM');
  const tookMs = Date.now() - startedAt;
  const events = await eventsOf(stream);
  await service.api.start();

  expect(tookMs).toBeLessThan(5000);
  expect(events[0]?.data.id).toBe(id);
  expect((await service.read(id)).completed_at).toBeNull();
  await service.cancel(id);
});
