/* Random sequences of calls, against a small model of what a prediction may be at each moment. */
import fc from 'fast-check';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affine, Service } from '../support/service.ts';

/** `open`: it may end by itself at any moment. `held`: only a cancel ends it. */
type State = 'open' | 'held' | 'ending' | 'ended' | 'deleted';

interface Known {
  readonly id: string;
  readonly isHeld: boolean;
  state: State;
  /** Once it is known. */
  status: string | null;
}

/** What we know of the service. */
interface Model {
  readonly run: number;
  readonly predictions: Known[];
  readonly keys: Map<string, Known>;
}

interface Answer {
  readonly status: number;
  readonly isReplayed: boolean;
  readonly body: Prediction & { code?: string };
}

let service: Service;
let runs = 0;

beforeAll(async () => {
  service = await Service.start();
});
afterAll(async () => {
  await service.close();
});

async function ask(method: string, path: string, headers = {}, body?: object): Promise<Answer> {
  const type = body === undefined ? {} : { 'Content-Type': 'application/json' };
  const answer = await fetch(`${service.url}/v1/predictions${path}`, {
    method,
    headers: { ...headers, ...type },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const isReplayed = answer.headers.get('Idempotency-Replayed') === 'true';
  const text = await answer.text();
  return {
    status: answer.status,
    isReplayed,
    body: (text ? JSON.parse(text) : {}) as Answer['body'],
  };
}

type Command = fc.AsyncCommand<Model, object>;

class Submit implements Command {
  readonly isHeld: boolean;
  readonly key: number | null;
  constructor(isHeld: boolean, key: number | null) {
    this.isHeld = isHeld;
    this.key = key;
  }
  check = () => true;
  toString = () => `submit(${this.isHeld ? 'held' : 'open'}, key ${this.key})`;
  async run(model: Model) {
    const key = this.key === null ? null : `${model.run}-${this.key}`;
    const before = key === null ? undefined : model.keys.get(key);
    const headers = key === null ? {} : { 'Idempotency-Key': key };
    const order = {
      model: 'affine',
      input: affine(),
      ...(this.isHeld ? { start_after: '700h' } : {}),
    };
    const answer = await ask('POST', '', headers, order);
    if (before === undefined) {
      expect([answer.status, answer.isReplayed]).toEqual([202, false]);
      const state = this.isHeld ? 'held' : 'open';
      const known: Known = { id: answer.body.id, isHeld: this.isHeld, state, status: null };
      model.predictions.push(known);
      if (key !== null) model.keys.set(key, known);
    } else if (before.state === 'deleted') {
      expect([answer.status, answer.body.code]).toEqual([410, 'data_removed']);
    } else if (before.isHeld !== this.isHeld) {
      expect([answer.status, answer.body.code]).toEqual([422, 'idempotency_mismatch']);
    } else {
      expect([answer.isReplayed, answer.body.id]).toEqual([true, before.id]);
      expect(answer.status).toBe(answer.body.completed_at === null ? 202 : 200);
      see(before, answer.body);
    }
  }
}

/** What is asked of one that we know. */
abstract class OnOne implements Command {
  readonly pick: number;
  constructor(pick: number) {
    this.pick = pick;
  }
  check = (model: Readonly<Model>) => model.predictions.length > 0;
  async run(model: Model) {
    const known = model.predictions[this.pick % model.predictions.length];
    if (known !== undefined) await this.on(known, model);
  }
  abstract on(known: Known, model: Model): Promise<void>;
}

class Read extends OnOne {
  override toString = () => `read(${this.pick})`;
  async on(known: Known) {
    const answer = await ask('GET', `/${known.id}`);
    expect(answer.status).toBe(known.state === 'deleted' ? 410 : 200);
    if (known.state !== 'deleted') see(known, answer.body);
  }
}

class Wait extends OnOne {
  override toString = () => `wait(${this.pick})`;
  async on(known: Known) {
    if (known.state === 'held' || known.state === 'deleted') return;
    const answer = await ask('GET', `/${known.id}?wait=30`);
    expect(answer.body.completed_at).not.toBeNull();
    see(known, answer.body);
  }
}

class Cancel extends OnOne {
  override toString = () => `cancel(${this.pick})`;
  async on(known: Known) {
    const { status, body } = await ask('POST', `/${known.id}/cancel`);
    if (known.state === 'deleted') expect(status).toBe(410);
    else if (known.state === 'ended') expect(status).toBe(200);
    else if (known.state === 'held') expect(status).toBe(202);
    else expect([200, 202]).toContain(status);
    if (known.state === 'deleted' || known.state === 'ended') return;
    known.state = 'ending';
    see(known, body);
  }
}

class Delete extends OnOne {
  override toString = () => `delete(${this.pick})`;
  async on(known: Known) {
    const { status } = await ask('DELETE', `/${known.id}`);
    const allowed = {
      held: [409],
      open: [204, 409],
      ending: [204, 409],
      ended: [204],
      deleted: [204, 410], // it is finished once more, or Temporal has forgotten it
    };
    expect(allowed[known.state]).toContain(status);
    if (status === 204) known.state = 'deleted';
  }
}

class Retry extends OnOne {
  override toString = () => `retry(${this.pick})`;
  async on(known: Known, model: Model) {
    const { status, body } = await ask('POST', `/${known.id}/retry`);
    const allowed = {
      held: [409],
      open: [202, 409],
      ending: [202, 409],
      ended: [202],
      deleted: [410],
    };
    expect(allowed[known.state]).toContain(status);
    if (status !== 202) return;
    expect(body.retry_of).toBe(known.id);
    if (known.state !== 'ended') known.state = 'ended';
    model.predictions.push({ id: body.id, isHeld: false, state: 'open', status: null });
  }
}

/** A record must be one that it may have; an end stays as it is. */
function see(known: Known, record: Prediction): void {
  const isFinal = record.completed_at !== null;
  if (known.state === 'ended') expect(isFinal).toBe(true);
  if (known.state === 'held') expect([record.status, isFinal]).toEqual(['queued', false]);
  if (known.state === 'ending')
    expect(['canceling', 'canceled', 'succeeded']).toContain(record.status);
  if (known.state === 'open')
    expect(['queued', 'processing', 'succeeded']).toContain(record.status);
  if (!isFinal) return;
  known.state = 'ended';
  known.status ??= record.status;
  expect(record.status).toBe(known.status);
}

test('whatever is asked in whatever order, the answers are those of the lifecycle', async () => {
  const pick = fc.nat({ max: 9 });
  const commands = fc.commands(
    [
      fc.tuple(fc.boolean(), fc.option(fc.nat({ max: 2 }))).map((of) => new Submit(...of)),
      pick.map((each) => new Read(each)),
      pick.map((each) => new Wait(each)),
      pick.map((each) => new Cancel(each)),
      pick.map((each) => new Delete(each)),
      pick.map((each) => new Retry(each)),
    ],
    { maxCommands: 30 },
  );
  const property = fc.asyncProperty(commands, async (sequence) => {
    runs += 1;
    const model: Model = { run: runs, predictions: [], keys: new Map() };
    await fc.asyncModelRun(() => ({ model, real: {} }), sequence);
  });
  await fc.assert(property, { numRuns: 40, endOnFailure: true });
}, 180_000);
