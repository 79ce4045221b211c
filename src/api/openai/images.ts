/* /openai/v1/images/generations: images, with previews of them while they are made when they are streamed. */
import { type Request, type Response, Router } from 'express';
import type { Claim } from '../../contract/payload.ts';
import { factsOfClaim } from '../../contract/output-images.ts';
import { outputUrl } from '../../contract/prediction-record.ts';
import type { Accepted } from '../../contract/prediction.ts';
import { previewOf, type WorkSoFar } from '../../contract/work.ts';
import type { Observation } from '../../records/prediction-reader.ts';
import { readClaim } from '../../storage/claims.ts';
import { isPayloadLost } from '../../storage/payload-store.ts';
import { readLatest } from '../../storage/work.ts';
import { requireReader } from '../http/access.ts';
import { roomFor } from '../http/answers.ts';
import { EventStream } from '../http/event-stream.ts';
import { failure, type Succeeded, succeededEnd } from './ends.ts';
import { secondsOf } from './generated.ts';
import { cancelOnHangUp } from './hang-up.ts';
import { observationsOf } from './observations.ts';
import { bodyAs, order, READER_ADVICE, versionFor } from './orders.ts';
import { imageAsked } from './requests.ts';
import { imageSchema } from './schemas.ts';
import { failStream } from './stream-error.ts';
import type { TextDependencies } from './texts.ts';

/** What an endpoint for images needs beside those for texts. */
export interface ImagesDependencies extends TextDependencies {
  readonly publicUrl: string;
}

/** What is left of a request when its prediction was accepted. */
interface WantedImages {
  readonly isStream: boolean;
  /** How many previews. */
  readonly previews: number;
  readonly isBase64: boolean;
  /** What every answer repeats. */
  readonly facts: object;
}

export function imagesRouter(dependencies: ImagesDependencies): Router {
  const router = Router();
  router.post('/images/generations', dependencies.bodies.json, async (request, response) => {
    const { accepted, wanted } = await submit(request, response, dependencies);
    if (wanted.isStream) await streamImage(response, accepted, wanted, dependencies);
    else await answerImages(response, accepted, wanted, dependencies);
  });
  return router;
}

async function submit(
  request: Request,
  response: Response,
  dependencies: ImagesDependencies,
): Promise<{ readonly accepted: Accepted; readonly wanted: WantedImages }> {
  const body = bodyAs(imageSchema, request);
  requireReader(response, READER_ADVICE);
  const version = versionFor(dependencies.acceptance, body.model, 'text-to-image');
  dependencies.waitLimit.requireRoom(response);
  const { accepted } = await order(request, response, version, imageAsked(body), dependencies);
  const { width, height, output_format: format } = version.schema.options.parse(accepted.options);
  return {
    accepted,
    wanted: {
      isStream: body.stream ?? false,
      previews: body.partial_images ?? 0,
      isBase64: body.response_format === 'b64_json',
      facts: {
        seed: accepted.options['seed'],
        background: 'opaque',
        output_format: format,
        quality: 'auto',
        size: `${String(width)}x${String(height)}`,
      },
    },
  };
}

async function answerImages(
  response: Response,
  accepted: Accepted,
  { isBase64, facts }: WantedImages,
  dependencies: ImagesDependencies,
): Promise<void> {
  const { images = [] } = await succeededEnd(response, accepted, dependencies);
  const data = [];
  for (const [index, claim] of images.entries()) {
    if (isBase64) {
      data.push({ b64_json: await base64Of(claim, response, dependencies) });
    } else {
      const at = outputUrl(dependencies.publicUrl, accepted.id);
      data.push({ url: factsOfClaim(claim, index, at).url });
    }
  }
  response.json({ created: secondsOf(accepted.created_at), data, ...facts });
}

/** A client that hangs up wants no more of the image: the prediction is canceled. */
async function streamImage(
  response: Response,
  accepted: Accepted,
  { previews, facts }: WantedImages,
  dependencies: ImagesDependencies,
): Promise<void> {
  cancelOnHangUp(response, accepted, dependencies);
  const stream = new EventStream(response);
  const send = (name: string, members: object) => {
    const type = `image_generation.${name}`;
    const created = { created_at: secondsOf(accepted.created_at) };
    stream.send({ type, ...members, ...created, ...facts }, { event: type });
  };
  try {
    const chosen = new ChosenPreviews(previews);
    for await (const seen of observationsOf(response, accepted, dependencies)) {
      const work = chosen.next(seen);
      const preview = work === null ? null : await previewIn(work, response, dependencies);
      if (preview !== null) {
        send('partial_image', { b64_json: preview, partial_image_index: chosen.taken() });
        await stream.drained();
      }
      const { ended } = seen;
      if (ended === null) continue;
      if (ended.status !== 'succeeded') throw failure(accepted, ended);
      const [claim] = (ended satisfies Succeeded).images ?? [];
      if (claim === undefined) throw new Error(`${accepted.id} has succeeded without an image`);
      send('completed', { b64_json: await base64Of(claim, response, dependencies), usage: NONE });
    }
    stream.end();
  } catch (error) {
    failStream(stream, error, dependencies.logger);
  }
}

/** Images are not counted in tokens; clients read these members all the same. */
const NONE = {
  input_tokens: 0,
  output_tokens: 0,
  total_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
};

/** Which previews are sent: as many as are wanted, spread over the run. */
class ChosenPreviews {
  readonly #wanted: number;
  #sent = 0;
  #step = -1;
  #found = -1;

  constructor(wanted: number) {
    this.#wanted = wanted;
  }

  /** The work in which there is one to be sent; null: there is none now. */
  next({ record, work }: Observation): WorkSoFar | null {
    const step = work?.preview?.step ?? this.#step;
    const isTime = (record.progress?.fraction ?? 0) >= (this.#sent + 1) / (this.#wanted + 1);
    if (this.#sent >= this.#wanted || step === this.#step || !isTime) return null;
    this.#found = step;
    return work;
  }

  /** Notes that the preview was sent, and returns its number. */
  taken(): number {
    this.#step = this.#found;
    return this.#sent++;
  }
}

/** Null: it has been replaced meanwhile. */
async function previewIn(
  work: WorkSoFar,
  response: Response,
  { store }: Pick<ImagesDependencies, 'store'>,
): Promise<string | null> {
  const given: (() => void)[] = [];
  const take = (bytes: number) => void given.push(roomFor(response).take(bytes));
  try {
    return (await readLatest(work, store, previewOf, take))?.data ?? null;
  } catch (error) {
    if (isPayloadLost(error)) return null;
    throw error;
  } finally {
    for (const giveBack of given) giveBack();
  }
}

async function base64Of(
  claim: Claim,
  response: Response,
  { store }: Pick<ImagesDependencies, 'store'>,
): Promise<string> {
  roomFor(response).take(2 * claim.bytes); // until it has been answered
  return (await readClaim(store, claim)).toString('base64');
}
