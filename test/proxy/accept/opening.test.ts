/** The stage from the first bytes to a relay runs on any stream: here on two ends in memory, as plaintext will be. */
import { randomFillSync } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { PLAIN_DATAGRAMS } from '../../../src/platform/datagrams.ts';
import { PLAIN_SOCKETS } from '../../../src/platform/sockets.ts';
import { Opening, type OpeningOwner } from '../../../src/proxy/accept/opening.ts';
import { Guard } from '../../../src/proxy/plane/guard.ts';
import { Share } from '../../../src/proxy/plane/holders.ts';
import { DEFAULT_BEHAVIOUR } from '../../../src/proxy/plane/options.ts';
import { newPlane } from '../../../src/proxy/plane/plane.ts';
import type { Relay } from '../../../src/proxy/request/relay.ts';
import { RequestLife } from '../../../src/proxy/request/request_life.ts';
import { clientHello } from '../../support/client_hello.ts';
import {
  address,
  allowHttp,
  closeRigs,
  listenerOptions,
  type Rig,
  startRig,
} from '../../support/plane_rig.ts';
import { answerHeads } from '../../support/raw_origin.ts';
import { settled } from '../../support/settled.ts';
import { until } from '../../support/until.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const ENDS = {
  source: address('127.0.0.1:40000'),
  destination: address('10.0.0.7:8080'),
  record: null,
};

/** What a connection does around an opening, with a stream in memory in place of its socket. */
class Scene implements OpeningOwner {
  readonly events: string[] = [];
  readonly client: Duplex;
  readonly opening: Opening;
  readonly #rig: Rig;
  readonly #share = new Share({ evict: () => {}, lastMoveMs: () => 0, heldBytes: () => 0 }, 0);
  readonly #end: () => void;
  #relay: Relay | null = null;
  heard = '';

  constructor(rig: Rig) {
    const [client, inner] = duplexPair();
    this.client = client;
    this.#rig = rig;
    this.#end = () => inner.end();
    const listener = listenerOptions({}, rig.origin.port);
    const downstream = Object.assign(inner, { resetAndDestroy: () => inner.destroy() });
    this.opening = new Opening({
      connectionId: 1,
      ends: ENDS,
      listener,
      plane: newPlane({
        listeners: [listener],
        limits: DEFAULT_LIMITS,
        behaviour: DEFAULT_BEHAVIOUR,
        currentSnapshot: () => rig.store.current(),
        recorder: rig.recorder,
        platform: rig.time,
        sockets: PLAIN_SOCKETS,
        datagrams: PLAIN_DATAGRAMS,
        names: null,
        randomFill: randomFillSync,
        records: null,
        cilium: null,
      }),
      share: this.#share,
      guard: new Guard({ part: 'scene', abandon: () => {}, sever: () => {} }, rig.recorder),
      owner: this,
      downstream: () => downstream,
    });
    inner.on('data', (chunk: Buffer) => this.#onData(chunk));
    client.on('data', (chunk: Buffer) => {
      this.heard += chunk.toString('latin1');
    });
  }

  get records(): readonly string[] {
    return this.#rig.recorder.summaries;
  }

  #onData(chunk: Buffer): void {
    if (this.#relay === null) this.opening.onData(chunk);
    else this.#relay.onDownstreamData(chunk);
  }

  relayed(relay: Relay, first: Buffer): void {
    this.events.push(`relayed ${relay.name}`);
    this.#relay = relay;
    relay.onDownstreamData(first);
  }

  refused: OpeningOwner['refused'] = (fault, decision) => {
    this.events.push(`refused ${fault ?? decision?.reason}`);
    this.opening.end();
  };

  answered: OpeningOwner['answered'] = (fault) => {
    this.events.push(`answered ${fault}`);
  };

  holderChanged(): void {}

  newLife: OpeningOwner['newLife'] = (decision) => {
    const { recorder, time } = this.#rig;
    const context = { meta: this.opening.meta, recorder, clock: time.clock, share: this.#share };
    const life = new RequestLife(context, 0);
    life.recordJudgement(this.opening.subject, decision);
    return life;
  };

  closed: OpeningOwner['closed'] = (cause) => {
    this.events.push(`closed ${cause}`);
    this.#end();
  };
}

async function open(): Promise<Scene> {
  return new Scene(await startRig({ script: answerHeads, policy: allowHttp('* /a') }));
}

describe('an opening on a stream that is no socket', () => {
  it('hands HTTP/1.1 to its relay, which judges and forwards', async () => {
    const scene = await open();
    for (const byte of GET) scene.client.write(byte);
    await until(() => scene.heard.includes('200 OK'));
    scene.client.write(GET.replace('/a', '/b'));
    await until(() => scene.heard.includes('403 Forbidden'));
    expect(scene.events).toEqual(['relayed http1']);
    expect(scene.records).toEqual([
      'forwarded allowed 200 /a',
      'denied no-http-rule-matched 403 /b',
    ]);
  });

  it('hands HTTP/2 to its relay, which greets', async () => {
    const scene = await open();
    scene.client.write(PREFACE);
    scene.client.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    const SETTINGS = 4;
    await until(() => scene.heard.charCodeAt(3) === SETTINGS);
    expect(scene.events).toEqual(['relayed http2']);
  });

  it('refuses TLS where rules look into requests, and takes no step after that', async () => {
    const scene = await open();
    scene.client.write(clientHello('x.test'));
    await until(() => scene.events.length > 0);
    scene.client.write('more');
    await settled();
    expect(scene.events).toEqual(['refused not-judgeable']);
  });

  it('tells of what is no protocol of ours', async () => {
    const scene = await open();
    scene.client.write(Buffer.from([0x80, 0x81, 0x82, 0x83]));
    await until(() => scene.events.length > 0);
    expect(scene.events).toEqual(['answered unknown-protocol']);
  });
});
